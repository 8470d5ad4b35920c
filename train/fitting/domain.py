"""The out-of-domain guard of a trained bundle: how far footage may be from that of the training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from egomon.branches.bundle.card import GuardCard
from egomon.branches.bundle.weights import Tensors
from egomon.branches.interfaces import Float32
from egomon.branches.out_of_domain.detector import WINDOW_SECONDS
from egomon.branches.out_of_domain.distance import fit_guard
from egomon.train.features.feature_set import FeatureSet, Track

MARGIN = 1.25
"""How much farther than held-out footage may be: new days differ more than these recordings."""
QUANTILE = 0.999
"""Of the held-out clips' distances, so that a black frame among hours does not blind the guard."""
MOST_CLIPS = 2000
"""Clips that the Gaussian is fitted on, spread evenly: it needs frames in the ten thousands."""


def fit_domain(
    data: FeatureSet, fitting: Sequence[str], held: Sequence[str]
) -> tuple[GuardCard, Tensors] | None:
    """Fit on some recordings, set the limit on others.

    Args:
        data: the vectors.
        fitting: recordings to fit on.
        held: other recordings for the limit; where they are the same, every fifth is held.

    Returns:
        Card and tensors; None where vectors come precomputed, so that nothing is ever live.

    Raises:
        DataError: if vectors cannot be read.
    """
    if data.card.encoder.library == "none":
        return None
    if set(fitting) & set(held) and len(held) > 1:
        held = sorted(held)[::5]
        fitting = sorted(set(fitting) - set(held))
    clips = [clip for name in fitting for clip in _clips(data.track(name))]
    step = -(-len(clips) // MOST_CLIPS)
    guard = fit_guard(clips[::step])
    distances = [guard.distance(clip) for name in held for clip in _clips(data.track(name))]
    return GuardCard(limit=MARGIN * float(np.quantile(distances, QUANTILE))), guard.tensors()


def _clips(track: Track) -> Iterator[Float32]:
    """Consecutive clips as long as those that a live stream asks about."""
    bins = ((track.times - track.times[0]) / WINDOW_SECONDS).astype(int)
    for clip in np.split(track.vectors, np.flatnonzero(np.diff(bins)) + 1):
        yield clip.astype(np.float32)
