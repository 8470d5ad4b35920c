"""Tells recordings whose steps do not come in the order of the others.

A permutation test: if the work is the same, a recording fits the others' steps better in their
order than in a shuffled one. Other work, or the same in another order, does not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from egomon.branches.interfaces import Float32, Float64
from egomon.errors import DataError
from egomon.train.teach.step_filter.alignment import (
    COARSE_ROWS,
    Int,
    left_right,
    means_of,
    squares,
)
from egomon.train.teach.step_filter.step_model import Windows, least_windows, plain_rows

SHUFFLES = 40
BY_CHANCE = 0.25
"""Share of shuffled orders that fit no worse. Hand washing: 0 at one sink, up to .15 at another;
other work .2 to .75, the same with its halves exchanged .5 to .97."""
LEAST_STEPS = 4
"""Fewer have too few orders."""


def check_same_work(recordings: Sequence[Windows], labels: Sequence[Int], count: int) -> None:
    """Refuse a recording whose order of steps is not that of the others.

    Args:
        recordings: two or more; one is not compared.
        labels: (W,) steps of each recording's windows.
        count: number of steps.

    Raises:
        DataError: one sentence that names the recording, or both of two.
    """
    if len(recordings) < 2 or count < LEAST_STEPS:
        return
    rows = [own[:, :COARSE_ROWS] for own in plain_rows(recordings)]
    least = least_windows(recordings, count)
    shares = []
    for i, own in enumerate(rows):
        others = [j for j in range(len(rows)) if j != i]
        middle = means_of([rows[j] for j in others], [labels[j] for j in others], count)
        shares.append(share_of_orders(own, middle, least))
    worst = int(np.argmax(shares))
    if shares[worst] <= BY_CHANCE:
        return
    name = recordings[worst].name
    if len(recordings) == 2:
        raise DataError(
            f"{recordings[0].name} and {recordings[1].name} show different work, or its steps in "
            "different orders; teach each by itself, or record the work again"
        )
    raise DataError(
        f"{name} shows other work than the other recordings, or its steps in another order; teach "
        "without it, or teach it by itself"
    )


def share_of_orders(rows: Float32, middle: Float64, least: int) -> float:
    """Share of shuffled orders of the steps that fit rows (W, D) no worse than the given order.

    Args:
        rows: of one recording.
        middle: (K, D) mean row of each step, in order.
        least: rows that a step has at least.
    """
    distances = squares(rows, middle)
    right = _cost(distances, least)
    rng = np.random.default_rng(0)
    shuffled = [_cost(distances[:, rng.permutation(len(middle))], least) for _ in range(SHUFFLES)]
    return float(np.mean([cost <= right for cost in shuffled]))


def _cost(distances: Float64, least: int) -> float:
    labels = left_right(-distances, least)
    return float(distances[np.arange(len(labels)), labels].sum())
