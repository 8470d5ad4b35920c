"""Step statistics of frames: counted tables and running sums; numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from egomon.branches.interfaces import Float32, Float64

Array = Float64
Rows = tuple[int, int]
"""Half-open range of frame rows."""

PACE = 2
"""Progress of a workflow: steps done, log seconds so far."""

# Of neighbouring frames of a step: a segment of 30 rows tells as much as 3 independent ones.
_ROW_CORRELATION = 0.3
# Independent observations of the workflow in a segment of usual length.
_WORKFLOW_WEIGHT = 1.5
# Length that the posterior of background is smoothed over, in segments of usual length.
_SMOOTH_SEGMENTS = 0.3
# A step that is done is this much less likely to be seen again.
_FORGIVE = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class StepTables:
    """Counts of the training data; K steps of R workflows, vectors of D, reduced to P."""

    mean: Array
    """(D,) of unit frame vectors."""
    basis: Array
    """(D, P) principal directions, scaled so that frames of one step have unit covariance."""
    centres: Array
    """(K + 1, P) mean of each step in these directions; the last is background."""
    background: Array
    """(1,) 0 where training frames lay outside of all segments, else a log likelihood to bar it."""
    rows: Array
    """(1,) median number of rows of a segment."""
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
    log_seconds: Array
    """(K,) mean log length in seconds."""
    log_seconds_sd: Array
    """(K,)."""
    pace: Array
    """(K, PACE) means over correct segments."""
    pace_variance: Array
    """(K, PACE)."""

    def log_likelihood(self, unit: Float32) -> Array:
        """Map unit frame vectors (N, D) to (N, K + 1), 0 for the best class of each frame."""
        through = (self.basis @ self.centres.T).astype(np.float32)
        offset = 0.5 * (self.centres**2).sum(axis=1) + (self.mean @ self.basis) @ self.centres.T
        ll = (unit @ through).astype(np.float64) - offset
        ll[:, -1] += self.background[0]
        return np.asarray(ll - ll.max(axis=1, keepdims=True))

    def distance(self, vector: Array) -> Array:
        """Half squared Mahalanobis distances (K,) of a mean (D,) of unit frame vectors."""
        off = (vector - self.mean) @ self.basis - self.centres[:-1]
        return np.asarray(0.5 * (off**2).sum(axis=1))


class Frames:
    """Running sums over unit frame vectors (N, D), so that each segment costs the same."""

    def __init__(self, tables: StepTables, unit: Float32) -> None:
        self.tables = tables
        self._sums = np.vstack([np.zeros(unit.shape[1]), np.cumsum(unit, axis=0, dtype=np.float64)])
        ll = tables.log_likelihood(unit)
        of_steps = ll[:, :-1]
        top = of_steps.max(axis=1, keepdims=True)
        member = tables.workflow[:, None] == np.arange(int(tables.workflow.max()) + 1)
        of_workflows = np.log(np.exp(of_steps - top) @ member + 1e-300)
        self.workflow = np.cumsum(of_workflows, axis=0) * _WORKFLOW_WEIGHT / float(tables.rows[0])
        """(N, R) log odds of workflows after each frame."""
        self._background = np.concatenate([[0.0], np.cumsum(self._smoothed_background(ll))])

    def _smoothed_background(self, ll: Array) -> Array:
        """(N,) posterior of background, smoothed over the last rows."""
        sums = np.vstack([np.zeros(ll.shape[1]), np.cumsum(ll, axis=0)])
        ends = np.arange(1, len(ll) + 1)
        rows = max(1, round(_SMOOTH_SEGMENTS * float(self.tables.rows[0])))
        starts = np.maximum(ends - rows, 0)
        scores = 2 * (sums[ends] - sums[starts]) / (ends - starts)[:, None]
        prior = self.workflow - self.workflow.max(axis=1, keepdims=True)
        scores[:, :-1] += prior[:, self.tables.workflow]
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(e[:, -1] / e.sum(axis=1))

    def background(self, row: int) -> float:
        """Share of frames before this row that show no step; 0 where there are none."""
        return float(self._background[row]) / max(row, 1)

    def distance(self, span: Rows) -> Array:
        """(K,) of the mean of a segment's frames; see `StepTables.distance`."""
        low, high = span
        return self.tables.distance((self._sums[high] - self._sums[low]) / (high - low))

    def belief(self, span: Rows, distance: Array, done: Array) -> Array:
        """(K,) posterior of the step of a segment, given the steps that are done."""
        odds = self.workflow[span[1] - 1]
        n = span[1] - span[0]
        observations = n / (1 + (n - 1) * _ROW_CORRELATION)
        scores = (odds - odds.max())[self.tables.workflow] - observations * distance
        return _softmax(scores + np.log(1 - _FORGIVE * done))


def _softmax(scores: Array) -> Array:
    e = np.exp(scores - scores.max())
    return np.asarray(e / e.sum())
