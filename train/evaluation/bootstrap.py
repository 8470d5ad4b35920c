"""Intervals by resampling whole recordings: segments of one recording are not independent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

# The ends of a 95 % interval then rest on seven draws each.
DRAWS = 300
LEVEL = 0.95
FEWEST = 2
"""Recordings; resampling one gives an interval without width."""


def by_recording(
    recordings: Sequence[str],
    metric: Callable[[NDArray[np.intp]], float],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % percentile interval of a metric; (NaN, NaN) of a single recording, which tells none.

    Args:
        recordings: (S,) recording of each segment.
        metric: from indices of segments (repeats allowed) to a number; NaN draws are left out.
        draws: number of resamples.
        seed: of the draws.
    """
    names = np.array(recordings)
    groups = [np.flatnonzero(names == name) for name in np.unique(names)]
    if len(groups) < FEWEST:
        return float("nan"), float("nan")
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        picked = generator.integers(len(groups), size=len(groups))
        value = metric(np.concatenate([groups[k] for k in picked]))
        if np.isfinite(value):
            values.append(value)
    if not values:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
