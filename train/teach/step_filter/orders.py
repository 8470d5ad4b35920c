"""Correct recordings that show some steps in another order: a variation, no mistake.

The steps of one recording are looked for in the others by a path that may exchange neighbouring
steps; each recording begins such a search, and the one whose steps scatter least is kept. An
exchange counts where the steps of the other recordings describe a recording clearly better with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from egomon.branches.interfaces import Float32, Float64
from egomon.train.teach.step_filter.alignment import (
    COARSE_ROWS,
    ISOTROPIC,
    MOST_STARTS,
    ROUNDS,
    Int,
    cut,
    in_order,
    means_of,
    scatter,
    squares,
    whitening,
)
from egomon.train.teach.step_filter.step_model import (
    FINE_ISOTROPIC,
    Windows,
    least_windows,
    plain_rows,
    realign_finely,
)

StepKey = TypeVar("StepKey", int, str)
LONGEST = 2
"""Steps that are exchanged at once, on either side."""
COST = 0.01
"""Share of a recording's scatter that an exchange must save while steps are looked for."""
LEAST_GAIN = 0.03
"""Share of a recording's scatter around the others' steps that it must save in the end: recordings
of CaptainCook4D in one order, by other people in other kitchens, seemed to save .022 at most."""
LEAST_SAVED = 200.0
"""What it must save at least, squared standard deviations times seconds: of short work, chance is a
large share (`teach.py handwash --orders` ends with how often)."""
LEAST_RECORDINGS = 3
"""One recording tells too little of another: hand washing in one order seemed to save .19 once."""
_NEVER = 1e18


def in_one_order(recordings: Sequence[Windows], count: int) -> list[Int]:
    """Put windows into the order of steps that most recordings show.

    Args:
        recordings: correct ones.
        count: number of steps.

    Returns:
        (W,) window that comes at each place, of each recording; none where one order will do.
    """
    if len(recordings) < LEAST_RECORDINGS:
        return []
    rows = [own[:, :COARSE_ROWS] for own in plain_rows(recordings)]
    least = least_windows(recordings, count)
    labels = _numbered_by_most(_search(rows, count, least))
    saved = LEAST_SAVED / recordings[0].window_seconds
    moved = [_without_doubtful(rows, labels, i, least, saved) for i in range(len(rows))]
    if all((np.diff(of) >= 0).all() for of in moved):
        return []
    return [np.argsort(of, kind="stable") for of in moved]


def in_own_orders(
    recordings: Sequence[Windows], labels: Sequence[Int], places: Sequence[Int], count: int
) -> list[Int]:
    """Labels of each recording's windows as they came.

    Args:
        recordings: correct ones.
        labels: steps of their windows in one order.
        places: see `in_one_order`.
        count: number of steps.
    """
    found, orders = [], []
    for of, place in zip(labels, places, strict=True):
        back = np.empty_like(of)
        back[place] = of
        found.append(back)
        middles = [float(np.median(np.flatnonzero(back == k))) for k in range(count)]
        orders.append([int(k) for k in np.argsort(middles, kind="stable")])
    rows, least = plain_rows(recordings), least_windows(recordings, count)
    return realign_finely(rows, found, count, least, orders)


def order_of(labels: Int) -> list[int]:
    """Steps in the order in which they come."""
    return [int(labels[i]) for i in np.flatnonzero(np.diff(labels, prepend=-1))]


def usual_order(orders: Sequence[Sequence[StepKey]]) -> tuple[StepKey, ...]:
    """The one that comes most often; of equally many, the first."""
    return Counter(map(tuple, orders)).most_common(1)[0][0]


def free_order(log_likelihoods: Float64, least: int, cost: float) -> Int:
    """(W,) likeliest steps, each at least `least` rows, where neighbours may be exchanged.

    Args:
        log_likelihoods: (W, K); W must be at least K * least.
        least: rows that a step has at least.
        cost: log likelihood that an exchange must gain.
    """
    many, count = log_likelihoods.shape
    total = np.zeros((count, many + 1))
    np.cumsum(log_likelihoods.T, axis=1, out=total[:, 1:])
    best = np.append(0.0, np.full(many, -_NEVER))
    ways: list[list[tuple[Float64, tuple[int, ...], list[Float64]]]] = [
        [] for _ in range(count + 1)
    ]
    for done in range(count):
        for steps in _next_steps(done, count):
            score, entered = best - cost * (len(steps) > 1), []
            for step in steps:
                entered.append(score - total[step])
                highest = np.maximum.accumulate(entered[-1])
                score = np.full(many + 1, -_NEVER)
                score[least:] = total[step, least:] + highest[: many + 1 - least]
            ways[done + len(steps)].append((score, steps, entered))
        best = np.max([score for score, _, _ in ways[done + 1]], axis=0)
    labels = np.zeros(many, dtype=np.int64)
    done, end = count, many
    while done:
        _, steps, entered = max(ways[done], key=lambda way: way[0][end])
        for step, score in zip(reversed(steps), reversed(entered), strict=True):
            begin = int(score[: end + 1 - least].argmax())
            labels[begin:end] = step
            end = begin
        done -= len(steps)
    return labels


def _next_steps(done: int, count: int) -> Iterator[tuple[int, ...]]:
    """The next step, and each exchange of the next ones with those after them."""
    yield (done,)
    for first in range(1, LONGEST + 1):
        for second in range(1, min(LONGEST, count - done - first) + 1):
            middle = done + first
            yield (*range(middle, middle + second), *range(done, middle))


def _search(rows: Sequence[Float32], count: int, least: int) -> list[Int]:
    found = []
    for own in rows[:MOST_STARTS]:
        middle = means_of([own], [cut(own, count, least)], count)
        labels = [_freely(squares(other, middle), least) for other in rows]
        for share in ISOTROPIC:
            for _ in range(ROUNDS):
                scale = whitening(rows, labels, count, isotropic=share, between=0.0)
                middle = means_of(rows, labels, count) @ scale
                new = [_freely(squares(other @ scale, middle), least) for other in rows]
                same = all((a == b).all() for a, b in zip(new, labels, strict=True))
                labels = new
                if same:
                    break
        found.append((scatter(rows, labels, count), labels))
    return min(found, key=lambda pair: pair[0])[1]


def _freely(distances: Float64, least: int) -> Int:
    usual = _scatter_in(distances, range(distances.shape[1]), least)
    return free_order(-distances, least, COST * usual)


def _numbered_by_most(labels: Sequence[Int]) -> list[Int]:
    number = np.argsort(usual_order([order_of(of) for of in labels]))
    return [number[of] for of in labels]


def _without_doubtful(
    rows: Sequence[Float32], labels: Sequence[Int], i: int, least: int, saved: float
) -> Int:
    """Labels of a recording; those of an exchange that saves too little have its first step's."""
    order, found = order_of(labels[i]), labels[i].copy()
    blocks = list(_exchanged(order))
    if not blocks:
        return found
    others = [j for j in range(len(rows)) if j != i]
    held, of = [rows[j] for j in others], [labels[j] for j in others]
    scale = whitening(held, of, len(order), isotropic=FINE_ISOTROPIC, between=1.0)
    distances = squares(rows[i] @ scale, means_of(held, of, len(order)) @ scale)
    now = _scatter_in(distances, order, least)
    for begin, end in blocks:
        other = [*order[:begin], *range(begin, end), *order[end:]]
        before = _scatter_in(distances, other, least)
        if before - now < max(LEAST_GAIN * before, saved):
            found[(found >= begin) & (found < end)] = begin
    return found


def _exchanged(order: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First place and the one after the last of each part that is not in order."""
    begin = 0
    for end in range(1, len(order) + 1):
        if max(order[:end]) == end - 1:
            if end - begin > 1:
                yield begin, end
            begin = end


def _scatter_in(distances: Float64, order: Sequence[int], least: int) -> float:
    labels = in_order(-distances, order, least)
    return float(distances[np.arange(len(labels)), labels].sum())
