"""Step statistics of frames: counted tables and running sums; numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from egomon.branches.interfaces import Float32

Array = NDArray[np.float64]
Rows = tuple[int, int]
"""Half-open range of frame rows."""

PACE = 3
"""Progress of a workflow: steps done, square root of rows so far, likeness of all frames so far."""

_SHARPNESS = 3.0
_WORKFLOW_STEP = 0.05
"""Neighbouring frames are nearly copies: each counts as a twentieth of an observation."""
_SMOOTH_ROWS = 9
_DONE_ROWS = 8.0
_FORGIVE = 0.8
"""A step that is done is this much less likely to be seen again."""


@dataclass(frozen=True, slots=True, eq=False)
class StepTables:
    """Counts of the training data; K steps of R workflows, vectors of D, reduced to P."""

    mean: Array
    """(D,) of unit frame vectors."""
    basis: Array
    """(D, P) principal directions."""
    weight: Array
    """(K + 1, P) discriminants; the last is background."""
    bias: Array
    """(K + 1,)."""
    workflow: NDArray[np.int64]
    """(K,) workflow of each step."""
    need: Array
    """(K, K) [a, b]: share of demonstrations with b in which a came before it."""
    rate: Array
    """(K,) share of mistakes, shrunk to the mean."""
    risk_done: Array
    """(K, K) [a, b]: log odds of a mistake at b with a done before, over those of b at all."""
    risk_undone: Array
    """(K, K) the same with a of the same workflow not done before."""
    log_rows: Array
    """(K,) mean log length in rows."""
    log_rows_sd: Array
    """(K,)."""
    pace: Array
    """(K, PACE) means over correct segments."""
    pace_variance: Array
    """(K, PACE)."""

    def log_likelihood(self, unit: Float32) -> Array:
        """Unit frame vectors (N, D) to (N, K + 1), 0 for the best class of each frame."""
        through = self.basis @ self.weight.T
        offset = self.bias - self.mean @ through
        scores = (unit @ through.astype(np.float32)).astype(np.float64) + offset
        return np.asarray(scores - scores.max(axis=1, keepdims=True))


class Frames:
    """Running sums over unit frame vectors (N, D), so that each segment costs the same."""

    def __init__(self, tables: StepTables, unit: Float32) -> None:
        self.tables = tables
        self._unit_sums = np.cumsum(unit, axis=0, dtype=np.float64)
        ll = tables.log_likelihood(unit)
        steps = len(tables.rate)
        self._sums = np.vstack([np.zeros(steps + 1), np.cumsum(ll, axis=0)])
        workflows = int(tables.workflow.max()) + 1
        self.workflow = _WORKFLOW_STEP * np.cumsum(
            np.stack(
                [_logsumexp(ll[:, :steps][:, tables.workflow == w]) for w in range(workflows)], 1
            ),
            axis=0,
        )
        """(N, R) log odds of workflows after each frame."""
        self._seen = np.vstack([np.zeros(steps + 1), np.cumsum(self._smoothed(len(ll)), axis=0)])

    def _smoothed(self, n: int) -> Array:
        """(N, K + 1) posteriors of steps and background, smoothed over the last rows."""
        ends = np.arange(1, n + 1)
        starts = np.maximum(ends - _SMOOTH_ROWS, 0)
        mean = (self._sums[ends] - self._sums[starts]) / (ends - starts)[:, None]
        prior = self.workflow - self.workflow.max(axis=1, keepdims=True)
        steps = 2 * mean[:, :-1] + prior[:, self.tables.workflow]
        return softmax(np.hstack([steps, 2 * mean[:, -1:]]))

    def mean(self, span: Rows) -> Array:
        """(K + 1,) mean log likelihood."""
        low, high = span
        return np.asarray((self._sums[high] - self._sums[low]) / (high - low))

    def belief(self, span: Rows, done: Array) -> Array:
        """(K,) posterior of the step of a segment, given the steps that are done."""
        odds = self.workflow[span[1] - 1]
        scores = _SHARPNESS * self.mean(span)[:-1] + (odds - odds.max())[self.tables.workflow]
        return softmax(scores + np.log(1 - _FORGIVE * done))

    def done(self, row: int) -> Array:
        """(K,) steps that frames before this row show."""
        return np.asarray(1 - np.exp(-self._seen[row, :-1] / _DONE_ROWS))

    def background(self, row: int) -> float:
        """Share of frames before this row that show no step; 0 where there are none."""
        return float(self._seen[row, -1]) / max(row, 1)

    def likeness(self, row: int) -> float:
        """Length of the mean of unit frames before this row: 1 where all look the same."""
        return float(np.linalg.norm(self._unit_sums[row - 1])) / row


def softmax(scores: Array) -> Array:
    """Along the last axis."""
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def _logsumexp(scores: Array) -> Array:
    top = scores.max(axis=1)
    return np.asarray(top + np.log(np.exp(scores - top[:, None]).sum(axis=1)))
