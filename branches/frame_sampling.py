"""Choice of the frame vectors of a clip: one rule for training, replay and live."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from egomon.branches.interfaces import Float32, Float64

TIME_ROUNDING_SECONDS = 1e-3
"""Containers round times to milliseconds: a frame so much too early still belongs to its time."""


def uniform_indices(n: int, count: int) -> NDArray[np.intp]:
    """At most `count` indices spread evenly over range(n), ends included (CLIP4Clip's sampling).

    >>> uniform_indices(5, 8).tolist()
    [0, 1, 2, 3, 4]
    >>> uniform_indices(9, 3).tolist()
    [0, 4, 8]
    """
    if n <= count:
        return np.arange(n, dtype=np.intp)
    return np.linspace(0, n - 1, num=count).astype(np.intp)


def span_indices(times: Float64, t_start: float, t_end: float, count: int) -> NDArray[np.intp]:
    """Indices of at most `count` frames with t_start <= time < t_end, evenly spread.

    `times` is (N,) ascending. A span without any frame gives the last frame before its end (a
    step shorter than the sampling period still needs one), or nothing if there is none.

    >>> span_indices(np.array([0.0, 1.0, 2.0, 3.0]), 1.0, 3.0, 8).tolist()
    [1, 2]
    >>> span_indices(np.array([0.0, 1.0, 2.0, 3.0]), 1.2, 1.4, 8).tolist()
    [1]
    """
    low, high = np.searchsorted(times, (t_start, t_end), side="left")
    if low == high:
        return np.array([high - 1] if high > 0 else [], dtype=np.intp)
    chosen: NDArray[np.intp] = low + uniform_indices(int(high - low), count)
    return chosen


def spread_times(t_start: float, t_end: float, count: int) -> Float64:
    """(count,) evenly spread times of the half-open span, from which a frame counts as theirs."""
    shares = np.arange(count, dtype=np.float64) / count
    times: Float64 = t_start + (t_end - t_start) * shares - TIME_ROUNDING_SECONDS
    return times


def spread_indices(times: Float64, t_start: float, t_end: float, count: int) -> NDArray[np.intp]:
    """Indices of the first frame at or after each of `count` evenly spread times of the span.

    `times` is (N,) ascending, at the source's own rate. A frame is never taken twice, so a span
    with fewer frames gives all of them. Decided by time alone, without the number of frames, so
    that a reader can choose while it decodes.

    >>> spread_indices(np.arange(10) / 10, 0.2, 0.8, 3).tolist()
    [2, 4, 6]
    >>> spread_indices(np.arange(10) / 10, 0.2, 0.5, 32).tolist()
    [2, 3, 4]
    """
    low, high = np.searchsorted(times, (t_start, t_end), side="left")
    found = np.searchsorted(times[low:high], spread_times(t_start, t_end, count), side="left")
    chosen: NDArray[np.intp] = low + np.unique(found[found < high - low])
    return chosen


def gather_clip(
    times: Float64, vectors: Float32, t_start: float, t_end: float, count: int
) -> tuple[Float64, Float32]:
    """Times (T,) and vectors (T, D) of at most `count` frames of the span."""
    chosen = span_indices(times, t_start, t_end, count)
    return times[chosen], vectors[chosen]
