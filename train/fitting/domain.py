"""The out-of-domain guard of a trained bundle: how far footage may be from that of the training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from egomon.branches.bundle.card import GuardCard
from egomon.branches.bundle.weights import Tensors
from egomon.branches.interfaces import Float32
from egomon.branches.out_of_domain.detector import WINDOW_SECONDS
from egomon.branches.out_of_domain.distance import MahalanobisGuard, fit_guard
from egomon.train.features.feature_set import FeatureSet, Track

MARGIN = 1.25
"""How much farther than left-out footage may be: new days differ more than these recordings."""
QUANTILE = 0.95
"""Of the left-out clips' distances: one strange moment in few recordings must not blind the guard.

Of six rendered recordings the farthest clip was at 6.5 and 95 % within 2.0, cooking at 4.2 to 5.3.
"""
# With fewer recordings each is left out once.
FOLDS = 5
MOST_CLIPS = 2000
"""Clips that the Gaussian is fitted on, spread evenly: it needs frames in the ten thousands."""


def fit_domain(data: FeatureSet) -> tuple[GuardCard, Tensors] | None:
    """Fit on all recordings; the limit comes from recordings that a fit had left out.

    Args:
        data: two recordings or more.

    Returns:
        Card and tensors; None where vectors come precomputed, so that nothing is ever live.

    Raises:
        DataError: if vectors cannot be read.
    """
    if data.card.encoder.library == "none":
        return None
    names = data.recordings
    clips = {name: list(_clips(data.track(name))) for name in names}
    folds = [names[k::FOLDS] for k in range(min(FOLDS, len(names)))]
    distances = []
    for held in folds:
        guard = _fit([clips[name] for name in names if name not in held])
        distances += [guard.distance(clip) for name in held for clip in clips[name]]
    limit = MARGIN * float(np.quantile(distances, QUANTILE))
    return GuardCard(limit=limit), _fit(clips.values()).tensors()


def _fit(recordings: Iterable[Sequence[Float32]]) -> MahalanobisGuard:
    every = [clip for clips in recordings for clip in clips]
    return fit_guard(every[:: -(-len(every) // MOST_CLIPS)])


def _clips(track: Track) -> Iterator[Float32]:
    """Consecutive clips as long as those that a live stream asks about."""
    bins = ((track.times - track.times[0]) / WINDOW_SECONDS).astype(int)
    for clip in np.split(track.vectors, np.flatnonzero(np.diff(bins)) + 1):
        yield clip.astype(np.float32)
