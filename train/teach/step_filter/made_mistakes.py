"""Mistakes made from correct recordings: cut at the steps' boundaries and put together wrongly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from egomon.branches.interfaces import Float32
from egomon.train.teach.step_filter.alignment import Int

FOREIGN_WINDOWS = 24
LONG_TIMES = 6
"""A step that takes too long takes so many times as long."""


@dataclass(frozen=True, slots=True, eq=False)
class MadeRun:
    """Windows of a recording with one mistake."""

    windows: Float32
    """(W, E)."""
    onset: int
    """First window of the mistake."""
    end: int
    """First window after it."""


def made_runs(
    windows: Float32,
    labels: Int,
    seed: int = 0,
    *,
    free: Callable[[int, int], bool] = lambda one, other: False,
) -> Iterator[MadeRun]:
    """A step left out, two left out, two swapped, one repeated, foreign work put in, one too long.

    Args:
        windows: (W, E) of a correct recording.
        labels: (W,) its steps.
        seed: of the places.
        free: whether two steps may come in either order; such are not swapped.
    """
    rng = np.random.default_rng(seed)
    cuts = np.flatnonzero(np.diff(labels)) + 1
    parts, order = np.split(windows, cuts), labels[[0, *cuts]].tolist()
    many = len(parts)
    strict = [k for k in range(1, many - 2) if not free(order[k], order[k + 1])]
    for gone in (1, 2):
        if many >= gone + 3:
            k = int(rng.integers(1, many - 1 - gone))
            yield _joined(parts[:k] + parts[k + gone :], k)
    if many >= 4:
        if strict:
            k = strict[int(rng.integers(len(strict)))]
            yield _joined([*parts[:k], parts[k + 1], parts[k], *parts[k + 2 :]], k)
        k = int(rng.integers(0, many - 3))
        at = int(rng.integers(k + 2, many))
        yield _joined([*parts[:at], parts[k], *parts[at:]], at)
    if many >= 3:
        # Other values in other places: as unlike the work as another recording's pictures.
        start = int(rng.integers(0, max(1, len(windows) - FOREIGN_WINDOWS)))
        foreign = windows[start : start + FOREIGN_WINDOWS][:, rng.permutation(windows.shape[1])]
        at = int(rng.integers(1, many - 1))
        yield _joined([*parts[:at], foreign, *parts[at:]], at)
        k = int(rng.integers(0, many))
        yield _joined([*parts[: k + 1], _going_on(parts[k]), *parts[k + 1 :]], k + 1)


def _going_on(part: Float32) -> Float32:
    """What makes a step last too long: backwards and forwards in turn, so that nothing jumps."""
    return np.concatenate([part[::-1] if i % 2 else part for i in range(1, LONG_TIMES)])


def _joined(parts: list[Float32], wrong: int) -> MadeRun:
    onset = sum(len(part) for part in parts[:wrong])
    return MadeRun(np.concatenate(parts), onset, onset + len(parts[wrong]))
