"""Counted evidence about a workflow, from frame vectors and segment bounds alone; numpy only.

Frames give log likelihoods of steps (linear discriminants); segments give a belief about the step
at hand; beliefs so far give what is done, missing or repeated. Nothing looks ahead, and nothing
is an input that a live stream lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from egomon.branches.base import Float32

Array = NDArray[np.float64]
Rows = tuple[int, int]
"""Half-open range of frame rows."""

NAMES = (
    *("rate", "missing", "missing_most", "extra", "repeated", "progress"),
    *("missing_f", "missing_most_f", "extra_f", "repeated_f", "progress_f"),
    *("duration", "duration_abs", "duration_z_abs", "duration_z"),
    *("unsure", "typical", "background", "workflow_odds", "index", "elapsed", "workflow_belief"),
)
"""Evidence of one segment; `_f` counts what is done by frames instead of by segments."""

EVIDENCE = 3 * len(NAMES)
"""Length of an evidence vector: now, mean of earlier segments, mean of the last three."""

MOST_SEGMENTS = 40
"""Earlier segments that are looked at: bounds the cost of one score."""

_SHARPNESS = 3.0
_WORKFLOW_STEP = 0.05
"""Neighbouring frames are nearly copies: each counts as a twentieth of an observation."""
_SMOOTH_ROWS = 9
_DONE_ROWS = 8.0
_FORGIVE = 0.8
"""A step that is done is this much less likely to be seen again."""


@dataclass(frozen=True, slots=True, eq=False)
class StepTables:
    """What was counted in training; K steps of R workflows, vectors of D, reduced to P."""

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
    log_rows: Array
    """(K,) mean log length in rows."""
    log_rows_sd: Array
    """(K,)."""

    def log_likelihood(self, unit: Float32) -> Array:
        """Unit frame vectors (N, D) to (N, K + 1), 0 for the best class of each frame."""
        through = self.basis @ self.weight.T
        offset = self.bias - self.mean @ through
        scores = (unit @ through.astype(np.float32)).astype(np.float64) + offset
        return np.asarray(scores - scores.max(axis=1, keepdims=True))


def collect(
    tables: StepTables, log_likelihood: Array, spans: Sequence[Rows]
) -> tuple[Array, Array]:
    """Evidence (S, EVIDENCE) and step beliefs (S, K) of segments in order of time.

    Args:
        tables: counts from training.
        log_likelihood: (N, K + 1) of all frames since the workflow began.
        spans: (S) row ranges, each with at least one row; only rows before a span's end count
            for it.
    """
    frames = _Frames(tables, log_likelihood)
    done = np.zeros(len(tables.rate))
    past: list[Array] = []
    rows, beliefs = [], []
    for span in spans:
        belief = frames.belief(span, done)
        now = _evidence(tables, frames, span, belief, done, len(past))
        earlier = np.mean(past, axis=0) if past else np.zeros_like(now)
        past.append(now)
        rows.append(np.concatenate([now, earlier, np.mean(past[-3:], axis=0)]))
        beliefs.append(belief)
        done = 1 - (1 - done) * (1 - 0.97 * belief)
    return np.array(rows), np.array(beliefs)


class _Frames:
    """Running sums over frames, so that each segment costs the same."""

    def __init__(self, tables: StepTables, ll: Array) -> None:
        self.tables = tables
        steps = len(tables.rate)
        self.sums = np.vstack([np.zeros(steps + 1), np.cumsum(ll, axis=0)])
        workflows = int(tables.workflow.max()) + 1
        self.workflow = _WORKFLOW_STEP * np.cumsum(
            np.stack(
                [_logsumexp(ll[:, :steps][:, tables.workflow == w]) for w in range(workflows)], 1
            ),
            axis=0,
        )
        self.seen = np.vstack([np.zeros(steps), np.cumsum(self._smoothed(len(ll)), axis=0)])

    def _smoothed(self, n: int) -> Array:
        """(N, K) step beliefs of frames, smoothed over the last rows."""
        ends = np.arange(1, n + 1)
        starts = np.maximum(ends - _SMOOTH_ROWS, 0)
        mean = (self.sums[ends] - self.sums[starts]) / (ends - starts)[:, None]
        prior = self.workflow - self.workflow.max(axis=1, keepdims=True)
        steps = 2 * mean[:, :-1] + prior[:, self.tables.workflow]
        return _softmax(np.hstack([steps, 2 * mean[:, -1:]]))[:, :-1]

    def mean(self, span: Rows) -> Array:
        low, high = span
        return np.asarray((self.sums[high] - self.sums[low]) / (high - low))

    def belief(self, span: Rows, done: Array) -> Array:
        odds = self.workflow[span[1] - 1]
        scores = _SHARPNESS * self.mean(span)[:-1] + (odds - odds.max())[self.tables.workflow]
        return _softmax(scores + np.log(1 - _FORGIVE * done))


def _evidence(
    tables: StepTables, frames: _Frames, span: Rows, belief: Array, done: Array, index: int
) -> Array:
    mean, odds = frames.mean(span), frames.workflow[span[1] - 1]
    workflow = _softmax(odds)
    rate = float(belief @ tables.rate)
    counted = 1 - np.exp(-frames.seen[span[0]] / _DONE_ROWS)
    length = float(np.log(span[1] - span[0]))
    off = length - tables.log_rows
    return np.array(
        [
            np.log(rate / (1 - rate)),
            *_order(tables, belief, done, workflow),
            *_order(tables, belief, counted, workflow),
            float(belief @ off),
            abs(float(belief @ off)),
            float(belief @ (abs(off) / tables.log_rows_sd)),
            float(belief @ (off / tables.log_rows_sd)),
            -float(belief @ np.log(belief + 1e-9)),
            mean[:-1].max(),
            mean[-1] - mean[:-1].max(),
            odds.max() - float(_logsumexp(odds[None])[0]),
            index,
            np.log(span[1]),
            workflow.max(),
        ]
    )


def _order(tables: StepTables, belief: Array, done: Array, workflow: Array) -> list[float]:
    """Expected over the step at hand: what is missing before it, beyond it, and repeated."""
    missing = tables.need * (1 - done)[:, None]
    np.fill_diagonal(missing, 0)
    likely = done * workflow[tables.workflow]
    extra = ((1 - tables.need) * likely[:, None]).sum(axis=0) - done
    return [
        float(belief @ missing.sum(axis=0)),
        float(belief @ missing.max(axis=0)),
        float(belief @ extra),
        float(belief @ done),
        float(belief @ tables.need.sum(axis=0)) - float(done.sum()),
    ]


def _softmax(scores: Array) -> Array:
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def _logsumexp(scores: Array) -> Array:
    top = scores.max(axis=1)
    return np.asarray(top + np.log(np.exp(scores - top[:, None]).sum(axis=1)))
