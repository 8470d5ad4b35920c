"""Steps by aligning recordings: each is cut into the same K steps, in the same order.

Left-right Viterbi with re-estimation, as for hidden Markov models of speech. It starts from the
best cut of each single recording and keeps the start whose steps scatter least.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from egomon.branches.interfaces import Float32, Float64

Int = NDArray[np.int64]

COARSE_ROWS = 24
"""Leading directions in which steps are looked for; all of them would fit any start."""
ISOTROPIC = (1.0, 0.8)
"""Shares of the isotropic covariance, one stage each: whitening comes once steps have formed."""
ROUNDS = 10
MOST_PLACES = 2000
"""Of a recording where a cut is looked for, half a second apart up to 17 minutes: their pairs take
32 MB an array. Aligning starts from the cut and looks at every window."""
MOST_STARTS = 5
"""Recordings whose own cut an alignment starts from; with all of them time grows by the cube."""
_NEVER = 1e18


def cut(rows: Float32, count: int, least: int) -> Int:
    """(W,) step of each row: the cut into `count` steps that scatters least.

    Args:
        rows: (W, D), W at least `count * least`.
        count: number of steps.
        least: rows that a step has at least.
    """
    return cuts(rows, [count], least)[count]


def cuts(rows: Float32, counts: Sequence[int], least: int) -> dict[int, Int]:
    """`cut` into each of `counts`; one dynamic programme finds all of them."""
    many = len(rows)
    place = np.append(np.arange(0, many, -(-many // MOST_PLACES)), many)
    zero = np.zeros((1, rows.shape[1]))
    sums = np.vstack([zero, np.cumsum(rows, axis=0, dtype=np.float64)])[place]
    squares = np.append(0.0, np.cumsum((rows.astype(np.float64) ** 2).sum(axis=1)))[place]
    products = sums @ sums.T
    lengths = np.diag(products)
    size = place[None] - place[:, None]
    between = (lengths[None] + lengths[:, None] - 2 * products) / np.maximum(size, 1)
    cost = np.where(size >= least, squares[None] - squares[:, None] - between, _NEVER)
    best, back = cost[0], []
    for _ in range(max(counts) - 1):
        total = best[:, None] + cost
        back.append(total.argmin(axis=0))
        best = total[back[-1], np.arange(len(place))]
    found = {}
    for count in counts:
        labels = np.zeros(many, dtype=np.int64)
        end = -1
        for starts in reversed(back[: count - 1]):
            end = int(starts[end])
            labels[place[end] :] += 1
        found[count] = labels
    return found


def left_right(log_likelihoods: Float64, least: int) -> Int:
    """(W,) likeliest steps in order, each at least `least` rows, from (W, K).

    Every step gets rows; W must be at least K * least.
    """
    many, count = log_likelihoods.shape
    total = np.zeros((count, many + 1))
    np.cumsum(log_likelihoods.T, axis=1, out=total[:, 1:])
    best = np.full(many + 1, -_NEVER)
    best[least:] = total[0, least:]
    entered = np.empty((count, many + 1))
    for k in range(1, count):
        np.subtract(best, total[k], out=entered[k])
        highest = np.maximum.accumulate(entered[k])
        best = np.full(many + 1, -_NEVER)
        best[least:] = total[k, least:] + highest[: many + 1 - least]
    labels = np.zeros(many, dtype=np.int64)
    end = many
    for k in range(count - 1, 0, -1):
        start = int(entered[k, : end + 1 - least].argmax())
        labels[start:end] = k
        end = start
    return labels


def in_order(log_likelihoods: Float64, order: Sequence[int] | Int, least: int) -> Int:
    """(W,) likeliest steps in this order, each at least `least` rows, from (W, K)."""
    steps = np.asarray(order, dtype=np.int64)
    found: Int = steps[left_right(log_likelihoods[:, steps], least)]
    return found


def means_of(rows: Sequence[Float32], labels: Sequence[Int], count: int) -> Float64:
    """(K, D) mean row of each step."""
    sums = sum(_sums_of(own, of, count) for own, of in zip(rows, labels, strict=True))
    lengths = sum(np.bincount(of, minlength=count) for of in labels)
    found: Float64 = sums / np.asarray(lengths)[:, None]
    return found


def _sums_of(rows: Float32, labels: Int, count: int) -> Float64:
    """(K, D) sums of the rows of each step."""
    shown = (labels == np.arange(count)[:, None]).astype(np.float64)
    found: Float64 = shown @ rows
    return found


def whitening(
    rows: Sequence[Float32],
    labels: Sequence[Int],
    count: int,
    *,
    isotropic: float,
    between: float,
) -> Float64:
    """(D, D) that whitens what differs within a step.

    Args:
        rows: (W, D) of each recording.
        labels: their steps.
        count: number of steps.
        isotropic: share of the isotropic covariance, in [0, 1].
        between: weight of the covariance between recordings beside that within one.
    """
    middle = means_of(rows, labels, count)
    rest, apart = [], []
    for own, of in zip(rows, labels, strict=True):
        lengths = np.bincount(of, minlength=count)[:, None]
        mine = np.where(lengths, _sums_of(own, of, count) / np.maximum(lengths, 1), middle)
        rest.append(own - mine[of])
        apart.append(mine - middle)
    residual = np.concatenate(rest)
    covariance = residual.T @ residual / len(residual)
    if len(rows) > 1 and between:
        between_rows = np.concatenate(apart)
        covariance = covariance + between * between_rows.T @ between_rows / (
            count * (len(rows) - 1)
        )
    dim = len(covariance)
    level = max(float(np.trace(covariance)) / dim, 1e-12)
    covariance = (1 - isotropic) * covariance + isotropic * level * np.eye(dim)
    found: Float64 = np.linalg.inv(np.linalg.cholesky(covariance)).T
    return found


def align(
    rows: Sequence[Float32], count: int, least: int, own_cuts: Sequence[Int] | None = None
) -> list[Int]:
    """Steps of each recording's rows, found in the leading directions.

    Args:
        rows: (W, D) of each recording, centred; directions in order of variance.
        count: number of steps.
        least: rows that a step has at least; no recording may be shorter than `count * least`.
        own_cuts: each recording's `cut` where it is known.
    """
    coarse = [own[:, :COARSE_ROWS] for own in rows]
    starts = [[np.arange(len(own)) * count // len(own) for own in rows]]
    for i, own in enumerate(coarse[:MOST_STARTS]):
        alone = cut(own, count, least) if own_cuts is None else own_cuts[i]
        middle = means_of([own], [alone], count)
        starts.append([left_right(-squares(other, middle), least) for other in coarse])
    found = []
    for labels in starts:
        for share in ISOTROPIC:
            labels = realign(
                coarse,
                labels,
                count,
                least,
                lambda of, share=share: whitening(  # type: ignore[misc]
                    coarse, of, count, isotropic=share, between=0.0
                ),
            )
        found.append((scatter(coarse, labels, count), labels))
    return min(found, key=lambda pair: pair[0])[1]


def realign(
    rows: Sequence[Float32],
    labels: Sequence[Int],
    count: int,
    least: int,
    whiten: Callable[[Sequence[Int]], Float64],
    rounds: int = ROUNDS,
    orders: Sequence[Sequence[int]] | None = None,
) -> list[Int]:
    """Means from labels and labels from means, until nothing changes.

    `orders` holds the order of steps in each recording; None = 0 to K - 1.
    """
    labels = list(labels)
    orders = [range(count)] * len(rows) if orders is None else orders
    for _ in range(rounds):
        scale = whiten(labels)
        middle = means_of(rows, labels, count) @ scale
        new = [
            in_order(-squares(own @ scale, middle) / 2, order, least)
            for own, order in zip(rows, orders, strict=True)
        ]
        if all((a == b).all() for a, b in zip(new, labels, strict=True)):
            break
        labels = new
    return labels


def scatter(rows: Sequence[Float32], labels: Sequence[Int], count: int) -> float:
    """Sum of squared differences from the steps' means."""
    middle = means_of(rows, labels, count)
    return float(sum(((own - middle[of]) ** 2).sum() for own, of in zip(rows, labels, strict=True)))


def squares(rows: Float64 | Float32, middle: Float64) -> Float64:
    """(W, K) squared distances."""
    found: Float64 = (
        (rows**2).sum(axis=1, dtype=np.float64)[:, None]
        + (middle**2).sum(axis=1)
        - 2.0 * rows @ middle.T
    )
    return found
