"""Counts the step statistics: step discriminants, order, mistake rates, durations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from egomon.branches.interfaces import Float32
from egomon.branches.step_statistics.features import log_seconds
from egomon.branches.step_statistics.tables import PACE, Array, StepTables
from egomon.train.fitting.statistics.data import Demonstrations, Ints, Recorded

REDUCED = 256
"""Principal directions kept."""
SHRINKAGE = 0.5
"""Share of the pooled covariance that is replaced by a sphere (CV step accuracy .54 to .56)."""
PSEUDO_SEGMENTS = 0.7
"""Segments that a step's mean is pulled to its workflow's mean with."""
BACKGROUND_WEIGHT = 0.3
"""Of frames outside of all segments."""
NO_BACKGROUND = -1e6
"""Log likelihood of background in sets that hold segments only."""
FAULTY_WEIGHT = 0.3
"""A recording with mistakes tells less about the right order than one without."""
RATE_PSEUDO = 4.0
"""Segments of the mean rate that are added to each step."""
RATE_BOUNDS = (1e-3, 1 - 1e-3)
"""Of the mean rate: a part of a small set may hold one class only."""
RISK_PSEUDO = 8.0
"""Segments of the step's rate that are added to each pair of steps."""
PACE_PSEUDO = 2.0
"""Segments of the mean that are added to each step."""


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """Principal directions of the training frames, and each recording's sums in them."""

    mean: Array
    basis: Array
    rows: float
    """Median rows of a segment; a longer one counts as so many, lest long steps rule."""
    sums: dict[str, tuple[Array, Array, Array]]
    """Weights (K + 1,), weighted sums (K + 1, P) and scatter (P, P)."""


def reduce(demos: Demonstrations, train: Sequence[Recorded]) -> Space:
    """Directions from frames alone, without labels."""
    n = sum(len(r.unit) for r in train)
    mean = sum(r.unit.sum(axis=0, dtype=np.float64) for r in train) / n
    scatter = np.sum([r.scatter for r in train], axis=0, dtype=np.float64) / n
    basis = np.linalg.eigh(scatter - np.outer(mean, mean))[1][:, ::-1][:, :REDUCED].copy()
    single = basis.astype(np.float32)
    offset = (mean @ basis).astype(np.float32)
    rows = float(np.median([high - low for r in train for low, high in r.spans]))
    sums = {r.name: _sums(r.unit @ single - offset, r, len(demos.steps), rows) for r in train}
    return Space(mean, basis, rows, sums)


def count(demos: Demonstrations, space: Space, train: Sequence[Recorded]) -> StepTables:
    """All tables from these recordings."""
    whiten, centres = _discriminants(demos.workflow, space, train)
    outside = any(space.sums[r.name][0][-1] for r in train)
    steps = len(demos.steps)
    step = np.concatenate([r.step for r in train])
    y = np.concatenate([r.y for r in train])
    length = np.array([log_seconds(end - start) for r in train for start, end in r.seconds])
    n = np.bincount(step, minlength=steps)
    wrong = np.bincount(step, weights=y, minlength=steps)
    log_mean = (np.bincount(step, weights=length, minlength=steps) + 2 * length.mean()) / (n + 2)
    off = (length - log_mean[step]) ** 2
    spread = (np.bincount(step, weights=off, minlength=steps) + 0.8) / (n + 2)
    usual = float(np.clip(y.mean(), *RATE_BOUNDS))
    rate = (wrong + RATE_PSEUDO * usual) / (n + RATE_PSEUDO)
    risk_done, risk_undone = _risk(train, demos.workflow, rate)
    pace, pace_variance = _usual_pace(train, steps)
    return StepTables(
        mean=space.mean,
        basis=space.basis @ whiten,
        centres=centres,
        background=np.array([0.0 if outside else NO_BACKGROUND]),
        rows=np.array([space.rows]),
        workflow=demos.workflow,
        need=_order(train, steps),
        rate=rate,
        risk_done=risk_done,
        risk_undone=risk_undone,
        log_seconds=log_mean,
        log_seconds_sd=np.sqrt(spread),
        pace=pace,
        pace_variance=pace_variance,
    )


def _sums(
    reduced: Float32, recording: Recorded, steps: int, most: float
) -> tuple[Array, Array, Array]:
    label = np.full(len(reduced), steps)
    weight = np.full(len(reduced), BACKGROUND_WEIGHT)
    for (low, high), step in zip(recording.spans, recording.step, strict=True):
        label[low:high] = step
        weight[low:high] = min(high - low, most) / (high - low)
    sums = np.zeros((steps + 1, reduced.shape[1]))
    np.add.at(sums, label, reduced * weight[:, None])
    counts = np.zeros(steps + 1)
    np.add.at(counts, label, weight)
    scatter = (reduced * weight[:, None].astype(np.float32)).T @ reduced
    return counts, sums, scatter.astype(np.float64)


def _discriminants(workflow: Ints, space: Space, train: Sequence[Recorded]) -> tuple[Array, Array]:
    """Whitening of a shrunk covariance (P, P), and means (K + 1, P) in the whitened directions.

    A step's mean leans on its workflow's.
    """
    parts = [space.sums[r.name] for r in train]
    n, sums, scatter = (np.sum([part[k] for part in parts], axis=0) for k in range(3))
    centres = np.stack(
        [
            sums[:-1][workflow == w].sum(axis=0) / max(n[:-1][workflow == w].sum(), 1.0)
            for w in range(int(workflow.max()) + 1)
        ]
    )
    prior = np.vstack([centres[workflow], sums[-1] / max(n[-1], 1.0)])
    pseudo = PSEUDO_SEGMENTS * space.rows
    mu = (sums + pseudo * prior) / (n + pseudo)[:, None]
    own = sums / np.maximum(n, 1e-9)[:, None]
    within = (scatter - (n[:, None] * own).T @ own) / n.sum()
    size = len(within)
    sphere = np.trace(within) / size * np.eye(size)
    values, vectors = np.linalg.eigh((1 - SHRINKAGE) * within + SHRINKAGE * sphere)
    whiten = vectors / np.sqrt(values)
    return whiten, mu @ whiten


def _order(train: Sequence[Recorded], steps: int) -> Array:
    """[a, b]: share of recordings with b in which a came before b's first time."""
    before, seen = np.zeros((steps, steps)), np.zeros(steps)
    for recording in train:
        weight = FAULTY_WEIGHT if recording.y.any() else 1.0
        done: list[int] = []
        starts = np.argsort([low for low, _ in recording.spans], kind="stable")
        for step in recording.step[starts]:
            if step not in done:
                seen[step] += weight
                before[done, step] += weight
                done.append(int(step))
    return before / (seen + 0.5)


def _done_before(recording: Recorded, steps: int) -> Array:
    """(S, K) whether a step came in an earlier segment."""
    done = np.zeros((len(recording.step), steps))
    for place, step in enumerate(recording.step[:-1]):
        done[place + 1 :, step] = 1
    return done


def _risk(train: Sequence[Recorded], workflow: Ints, rate: Array) -> tuple[Array, Array]:
    """(K, K) log odds that a step done, or not done, adds to a mistake at another."""
    steps = len(rate)
    counts = np.zeros((2, 2, steps, steps))  # all or wrong; done or undone; b; a
    for recording in train:
        done = _done_before(recording, steps)
        undone = (1 - done) * (workflow == workflow[recording.step[0]])
        for k, before in enumerate((done, undone)):
            np.add.at(counts[0, k], recording.step, before)
            np.add.at(counts[1, k], recording.step, before * recording.y[:, None])
    counts = counts.swapaxes(2, 3)
    share = (counts[1] + RISK_PSEUDO * rate) / (counts[0] + RISK_PSEUDO)
    risk = _log_odds(share) - _log_odds(rate)
    return risk[0], risk[1]


def _usual_pace(train: Sequence[Recorded], steps: int) -> tuple[Array, Array]:
    """Mean and variance (K, PACE) over correct segments, shrunk to those of all."""
    rows = np.concatenate([_pace_of(recording, steps) for recording in train])
    right = np.concatenate([r.y for r in train]) == 0
    step = np.concatenate([r.step for r in train])[right]
    n = np.bincount(step, minlength=steps)[:, None] + PACE_PSEUDO
    mean = np.zeros((steps, PACE))
    np.add.at(mean, step, rows[right])
    mean = (mean + PACE_PSEUDO * rows.mean(axis=0)) / n
    variance = np.zeros((steps, PACE))
    np.add.at(variance, step, (rows[right] - mean[step]) ** 2)
    return mean, (variance + PACE_PSEUDO * rows.var(axis=0)) / n


def _pace_of(recording: Recorded, steps: int) -> Array:
    """(S, PACE) as `features.collect` measures it, of the true steps."""
    logs = [log_seconds(end) for _, end in recording.seconds]
    return np.column_stack([_done_before(recording, steps).sum(axis=1), logs])


def _log_odds(p: Array) -> Array:
    return np.asarray(np.log(p / (1 - p)))
