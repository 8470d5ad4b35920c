"""Statistics of steps, order and time, from frame vectors and segment bounds alone; numpy only.

Segments give a posterior of the step at hand (linear discriminants, and the workflow that all
frames so far suggest); posteriors so far give what is done, missing or repeated. Nothing looks
ahead.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from egomon.branches.interfaces import Float32
from egomon.branches.step_statistics.tables import Array, Frames, Rows, StepTables

NAMES = (
    *("rate", "risk", "missing_most", "repeated", "duration_z", "duration_z_abs"),
    *("unsure", "unlike_any", "unlike_step", "elapsed"),
    *("done_z", "elapsed_z", "done_z_abs", "elapsed_z_abs"),
    *("background_sofar", "background_before"),
)
"""Statistics of one segment; `_z` are standard deviations from what is usual at this step, and
background is the share of frames that show no step, until the segment's end and before it."""

STATISTICS = 2 * len(NAMES)
"""Length of a vector of statistics: those now, and their mean over earlier segments."""

MOST_SEGMENTS = 40
"""Most earlier segments in a score: bounds its cost."""

# Posterior below which a step is not asked what it misses most: it takes long.
_UNLIKELY = 1e-3

Seconds = tuple[float, float]
"""Start and end of a segment, since the first frame of the workflow."""


def collect(
    tables: StepTables, unit: Float32, spans: Sequence[Rows], seconds: Sequence[Seconds]
) -> tuple[Array, Array]:
    """Compute statistics (S, STATISTICS) and step posteriors (S, K) of segments in order of time.

    Args:
        tables: counts from training.
        unit: (N, D) unit vectors of all frames since the workflow began.
        spans: (S) row ranges, each with at least one row; only rows before a span's end count
            for it.
        seconds: (S) the same ranges in time.
    """
    frames = Frames(tables, unit)
    done = np.zeros(len(tables.rate))
    past: list[Array] = []
    rows, beliefs = [], []
    for span, (start, end) in zip(spans, seconds, strict=True):
        distance = frames.distance(span)
        belief = frames.belief(span, distance, done)
        lengths = log_seconds(end - start), log_seconds(end)
        background = [frames.background(row) for row in reversed(span)]
        now = np.append(_statistics(tables, distance, belief, done, *lengths), background)
        earlier = np.mean(past, axis=0) if past else np.zeros_like(now)
        past.append(now)
        rows.append(np.concatenate([now, earlier]))
        beliefs.append(belief)
        done = 1 - (1 - done) * (1 - 0.97 * belief)
    return np.array(rows), np.array(beliefs)


def log_seconds(seconds: float) -> float:
    """Log of a time in seconds, of at least one."""
    return float(np.log(max(seconds, 1.0)))


def _statistics(
    tables: StepTables,
    distance: Array,
    belief: Array,
    done: Array,
    log_length: float,
    log_elapsed: float,
) -> Array:
    rate = float(belief @ tables.rate)
    off = (log_length - tables.log_seconds) / tables.log_seconds_sd
    pace = _pace(tables, belief, np.array([done.sum(), log_elapsed]))
    return np.array(
        [
            np.log(rate / (1 - rate)),
            float((done @ tables.risk_done + (1 - done) @ tables.risk_undone) @ belief),
            _missing_most(tables, belief, done),
            float(belief @ done),
            float(belief @ off),
            float(belief @ abs(off)),
            -float(belief @ np.log(belief + 1e-9)),
            distance.min(),
            float(belief @ distance),
            log_elapsed,
            *pace,
            *abs(pace),
        ]
    )


def _missing_most(tables: StepTables, belief: Array, done: Array) -> float:
    """Expected over the step at hand: need of the step that is missed most before it."""
    likely = np.flatnonzero(belief > _UNLIKELY)
    missing = tables.need[:, likely] * (1 - done)[:, None]
    missing[likely, np.arange(len(likely))] = 0
    return float(missing.max(axis=0) @ belief[likely])


def _pace(tables: StepTables, belief: Array, now: Array) -> Array:
    """(PACE,) deviations from the mixture of what is usual at each step that this may be."""
    mean = belief @ tables.pace
    variance = belief @ (tables.pace_variance + tables.pace**2) - mean**2
    return np.asarray((now - mean) / np.sqrt(np.maximum(variance, 1e-8)))
