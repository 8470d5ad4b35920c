"""How long steps take, how much that differs, and how much moves in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from egomon.branches.interfaces import Float32, Float64
from egomon.branches.step_filter.visit import ALLOWED_SECONDS
from egomon.train.teach.step_filter.alignment import Int

SPREAD = {1: 0.42, 2: 0.34}
LEAST_SPREAD = 0.2
"""Of the logarithm of durations beyond the longest, by number of recordings: an alert comes at 3.5,
2.8 and 1.8 times the longest. Unseen hand washing had steps of up to 3.1, 2.5 and 1.2 times."""
LEFT_OUT_SPREADS = 2.0
"""Longest step of a left-out recording, beyond the longest of the others, in spreads."""
MOVING_SHARE = 0.35
"""Of the usual distance between windows. With lite0, noise of a still camera has a quarter of it;
99 % of the windows of real work have more."""
LEAST_MOVING = 1e-3


def durations_of(labels: Sequence[Int], count: int, window_seconds: float) -> Float64:
    """(R, K) seconds of each step in each recording."""
    found: Float64 = np.stack([np.bincount(of, minlength=count) * window_seconds for of in labels])
    return found


def spread_of(durations: Float64) -> float:
    """`StepOptions.spread` from (R, K) seconds."""
    many = len(durations)
    least = SPREAD.get(many, LEAST_SPREAD)
    if many < 2:
        return least
    logs = np.log(durations + ALLOWED_SECONDS)
    beyond = [logs[i] - np.delete(logs, i, axis=0).max(axis=0) for i in range(many)]
    return max(least, float(np.max(beyond)) / LEFT_OUT_SPREADS)


def moving_distance(recordings: Sequence[Float32]) -> float:
    """`StepOptions.moving` from the (W, E) windows of each recording."""
    moved = []
    for windows in recordings:
        lengths = np.maximum(np.linalg.norm(windows, axis=1, keepdims=True), 1e-12)
        rows = windows / lengths
        moved.append(1.0 - (rows[1:] * rows[:-1]).sum(axis=1))
    return max(MOVING_SHARE * float(np.median(np.concatenate(moved))), LEAST_MOVING)
