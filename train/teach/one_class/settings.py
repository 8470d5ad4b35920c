"""How looks are to be read: fitted so that left-out recordings are recognised with honest odds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from egomon.branches.interfaces import Float64
from egomon.branches.taught.descriptor import unit
from egomon.branches.taught.model import OPENING_SLIP
from egomon.branches.taught.step_likelihood import Reading, half_squares
from egomon.train.teach.one_class.build import PLACE_WEIGHT, Account, TeachOptions
from egomon.train.teach.one_class.segment_features import SegmentedRecording

# Both grids go up by factors: scores change little between two neighbours.
SHARPNESSES = (2.0, 5.0, 10.0, 20.0, 40.0, 80.0)
SLIPS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
PRIOR_SLIPS = 1.0
PRIOR_SEGMENTS = 30.0
"""Wrong recognitions, and segments, that count as seen before any was: a few demonstrations do not
prove that the eye never errs."""
TRAINED_SLIP = 0.005
"""A trained head's probabilities are honest already on steps like those that it knows: they need a
small allowance for others."""
OPENING_SHARPNESSES = (0.0, 5.0, 20.0, 80.0, 320.0)
SINGLE_SLIP = 0.05
"""With one recording, where nothing shows how often looks mislead."""
ORDER_COUNTS = (0.7, 0.9)
"""Agreement from which the order of steps begins to count, in the stead of places, and counts in
full."""


class _Row(NamedTuple):
    distances: Float64
    """(K,) to each step, by exemplars of other recordings."""
    label: int
    trusted: bool


def fit_settings(
    recordings: Sequence[SegmentedRecording],
    account: Account,
    *,
    beliefs: bool,
    single_agreement: float,
) -> tuple[TeachOptions, float | None]:
    """The settings with the highest likelihood on left-out recordings.

    Args:
        recordings: correct demonstrations.
        account: their steps and workflows.
        beliefs: looks are those of a trained head, see `Reading`.
        single_agreement: how well steps are expected to be recognised where one recording cannot
            show it.

    Returns:
        Settings, and the share of left-out segments put into their own step (None with one
        recording).
    """
    rows = _rows(recordings, account, Reading(beliefs=beliefs))
    agreement = None
    if rows:
        agreement = float(np.mean([int(r.distances.argmin()) == r.label for r in rows]))
    if beliefs:
        reading = Reading(slip=TRAINED_SLIP, beliefs=True)
    elif rows:
        none_distance = _none_distance(rows)
        readings = [Reading(a, none_distance, b) for a, b in product(SHARPNESSES, SLIPS)]
        reading = min(readings, key=lambda r: _loss(rows, r))
    else:
        reading = Reading(none_distance=_typical_distance(recordings), slip=SINGLE_SLIP)
    trusted = single_agreement if agreement is None else agreement
    low, high = ORDER_COUNTS
    order_trust = min(1.0, max(0.0, (trusted - low) / (high - low)))
    settings = TeachOptions(
        reading=reading,
        place_weight=PLACE_WEIGHT * (1 - order_trust),
        order_trust=order_trust,
        opening_sharpness=_opening_sharpness(recordings, account),
    )
    return settings, agreement


def _rows(
    recordings: Sequence[SegmentedRecording], account: Account, reading: Reading
) -> list[_Row]:
    looks = [np.stack([m.look for m in r.moments]) for r in recordings]
    rows: list[_Row] = []
    for i in range(len(recordings) if len(recordings) > 1 else 0):
        keep = [j for j in range(len(recordings)) if j != i]
        seen = np.concatenate([account.seen[j] for j in keep])
        exemplars = np.concatenate([looks[j] for j in keep])[seen >= 0]
        for look, label, own in zip(looks[i], account.labels[i], account.seen[i], strict=True):
            distances = half_squares(exemplars, look)
            by_step = reading.by_step(distances, seen[seen >= 0], account.count)
            if np.isfinite(by_step[label]):
                rows.append(_Row(by_step, int(label), int(own) == int(label)))
    return rows


def _loss(rows: Sequence[_Row], reading: Reading) -> float:
    count = len(rows[0].distances)
    loss = -PRIOR_SLIPS * np.log(reading.slip / (count + 1))
    loss -= (PRIOR_SEGMENTS - PRIOR_SLIPS) * np.log(1 - reading.slip)
    for row in rows:
        loss -= np.log(reading.likelihoods(row.distances)[row.label])
    return float(loss)


def _none_distance(rows: Sequence[_Row]) -> float:
    """Halfway from the farthest correct look to the typical distance of different steps."""
    farthest = max((float(r.distances[r.label]) for r in rows if r.trusted), default=0.0)
    apart = np.concatenate([np.delete(r.distances, r.label) for r in rows])
    apart = apart[np.isfinite(apart)]
    typical = float(np.median(apart)) if len(apart) else farthest + 1.0
    return farthest + max(0.0, typical - farthest) / 2


def _typical_distance(recordings: Sequence[SegmentedRecording]) -> float:
    """Of different steps of one recording."""
    looks = np.stack([m.look for r in recordings for m in r.moments])
    apart = (1 - looks @ looks.T)[~np.eye(len(looks), dtype=bool)]
    return float(np.median(apart)) if len(apart) else 1.0


def _opening_sharpness(recordings: Sequence[SegmentedRecording], account: Account) -> float:
    """How much an opening says of the workflow, by recordings that others repeat."""
    openings = [r.moments[0].opening for r in recordings]
    groups = [np.flatnonzero(account.workflows == w) for w in np.unique(account.workflows)]
    if len(groups) < 2 or any(opening is None for opening in openings):
        return 0.0
    shown = np.stack([opening for opening in openings if opening is not None])
    rows = []
    for w, own in enumerate(groups):
        for i in own if len(own) > 1 else []:
            rest = [shown[[j for j in of if j != i]].mean(axis=0) for of in groups]
            rows.append((1.0 - unit(np.stack(rest)) @ shown[i], w))

    def loss(sharpness: float) -> float:
        total = 0.0
        for distances, w in rows:
            shares = np.exp(-sharpness * (distances - distances.min()))
            total -= np.log(
                (1 - OPENING_SLIP) * shares[w] / shares.sum() + OPENING_SLIP / len(groups)
            )
        return total

    return min(OPENING_SHARPNESSES, key=loss)
