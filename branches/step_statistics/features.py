"""Statistics of a workflow, from frame vectors and segment bounds alone; numpy only.

Frames give log likelihoods of steps (linear discriminants); segments give a posterior of the step
at hand; posteriors so far give what is done, missing or repeated. Nothing looks ahead, and nothing
is an input that a live stream lacks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from egomon.branches.interfaces import Float32
from egomon.branches.step_statistics.tables import Array, Frames, Rows, StepTables, softmax

NAMES = (
    *("rate", "missing", "missing_most", "extra", "repeated", "progress"),
    *("missing_f", "missing_most_f", "extra_f", "repeated_f", "progress_f"),
    *("duration", "duration_abs", "duration_z_abs", "duration_z"),
    *("unsure", "typical", "background", "workflow_odds", "index", "elapsed", "workflow_belief"),
    *("done_z", "elapsed_z", "likeness_z", "done_z_abs", "elapsed_z_abs", "likeness_z_abs"),
    *("risk", "background_sofar", "background_before"),
)
"""Features of one segment; `_f` counts what is done by frames instead of by segments, `_z` are
standard deviations from what is usual at this step."""

STATISTICS = 3 * len(NAMES)
"""Length of a feature vector: now, mean of earlier segments, mean of the last three."""

MOST_SEGMENTS = 40
"""Most earlier segments in a score: bounds its cost."""


def collect(tables: StepTables, unit: Float32, spans: Sequence[Rows]) -> tuple[Array, Array]:
    """Features (S, EVIDENCE) and step posteriors (S, K) of segments in order of time.

    Args:
        tables: counts from training.
        unit: (N, D) unit vectors of all frames since the workflow began.
        spans: (S) row ranges, each with at least one row; only rows before a span's end count
            for it.
    """
    frames = Frames(tables, unit)
    done = np.zeros(len(tables.rate))
    past: list[Array] = []
    rows, beliefs = [], []
    for span in spans:
        belief = frames.belief(span, done)
        now = _evidence(frames, span, belief, done, len(past))
        earlier = np.mean(past, axis=0) if past else np.zeros_like(now)
        past.append(now)
        rows.append(np.concatenate([now, earlier, np.mean(past[-3:], axis=0)]))
        beliefs.append(belief)
        done = 1 - (1 - done) * (1 - 0.97 * belief)
    return np.array(rows), np.array(beliefs)


def _evidence(frames: Frames, span: Rows, belief: Array, done: Array, index: int) -> Array:
    tables, (low, high) = frames.tables, span
    mean, odds = frames.mean(span), frames.workflow[high - 1]
    workflow = softmax(odds)
    rate = float(belief @ tables.rate)
    off = float(np.log(high - low)) - tables.log_rows
    pace = _pace(tables, belief, np.array([done.sum(), high**0.5, frames.likeness(high)]))
    return np.array(
        [
            np.log(rate / (1 - rate)),
            *_order(tables, belief, done, workflow),
            *_order(tables, belief, frames.done(low), workflow),
            float(belief @ off),
            abs(float(belief @ off)),
            float(belief @ (abs(off) / tables.log_rows_sd)),
            float(belief @ (off / tables.log_rows_sd)),
            -float(belief @ np.log(belief + 1e-9)),
            mean[:-1].max(),
            mean[-1] - mean[:-1].max(),
            np.log(workflow.max()),
            index,
            np.log(high),
            workflow.max(),
            *pace,
            *abs(pace),
            float((done @ tables.risk_done + (1 - done) @ tables.risk_undone) @ belief),
            frames.background(high),
            frames.background(low),
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


def _pace(tables: StepTables, belief: Array, now: Array) -> Array:
    """(PACE,) deviations from the mixture of what is usual at each step that this may be."""
    mean = belief @ tables.pace
    variance = belief @ (tables.pace_variance + tables.pace**2) - mean**2
    return np.asarray((now - mean) / np.sqrt(np.maximum(variance, 1e-8)))
