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
_NEVER = 1e18


def cut(rows: Float32, count: int, least: int) -> Int:
    """(W,) step of each row: the cut into `count` steps that scatters least.

    Args:
        rows: (W, D), W at least `count * least`.
        count: number of steps.
        least: rows that a step has at least.
    """
    many = len(rows)
    sums = np.vstack([np.zeros(rows.shape[1]), np.cumsum(rows, axis=0, dtype=np.float64)])
    squares = np.append(0.0, np.cumsum((rows.astype(np.float64) ** 2).sum(axis=1)))
    products = sums @ sums.T
    lengths = np.diag(products)
    place = np.arange(many + 1)
    size = place[None] - place[:, None]
    between = (lengths[None] + lengths[:, None] - 2 * products) / np.maximum(size, 1)
    cost = np.where(size >= least, squares[None] - squares[:, None] - between, _NEVER)
    best, back = cost[0], []
    for _ in range(count - 1):
        total = best[:, None] + cost
        back.append(total.argmin(axis=0))
        best = total.min(axis=0)
    labels = np.zeros(many, dtype=np.int64)
    end = many
    for starts in reversed(back):
        end = int(starts[end])
        labels[end:] += 1
    return labels


def left_right(log_likelihoods: Float64, least: int) -> Int:
    """(W,) likeliest steps in order, each at least `least` rows, from (W, K).

    Every step gets rows; W must be at least K * least.
    """
    many, count = log_likelihoods.shape
    total = np.vstack([np.zeros(count), np.cumsum(log_likelihoods, axis=0, dtype=np.float64)])
    best = np.full((count, many + 1), -_NEVER)
    back = np.zeros((count, many + 1), dtype=np.int64)
    best[0, least:] = total[least:, 0]
    place = np.arange(many + 1)
    for k in range(1, count):
        entered = best[k - 1] - total[:, k]
        highest = np.maximum.accumulate(entered)
        newer = np.append(True, entered[1:] > highest[:-1])
        arrived = np.maximum.accumulate(np.where(newer, place, 0))
        best[k, least:] = total[least:, k] + highest[: many + 1 - least]
        back[k, least:] = arrived[: many + 1 - least]
    labels = np.zeros(many, dtype=np.int64)
    end = many
    for k in range(count - 1, -1, -1):
        start = int(back[k, end]) if k else 0
        labels[start:end] = k
        end = start
    return labels


def means_of(rows: Sequence[Float32], labels: Sequence[Int], count: int) -> Float64:
    """(K, D) mean row of each step."""
    everything, of = np.concatenate(rows), np.concatenate(labels)
    return np.stack([everything[of == k].mean(axis=0, dtype=np.float64) for k in range(count)])


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
        mine = np.stack(
            [own[of == k].mean(axis=0) if (of == k).any() else middle[k] for k in range(count)]
        )
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


def align(rows: Sequence[Float32], count: int, least: int) -> list[Int]:
    """Steps of each recording's rows, found in the leading directions.

    Args:
        rows: (W, D) of each recording, centred; directions in order of variance.
        count: number of steps.
        least: rows that a step has at least; no recording may be shorter than `count * least`.
    """
    coarse = [own[:, :COARSE_ROWS] for own in rows]
    starts = [[np.arange(len(own)) * count // len(own) for own in rows]]
    for own in coarse:
        middle = means_of([own], [cut(own, count, least)], count)
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
) -> list[Int]:
    """Means from labels and labels from means, until nothing changes."""
    labels = list(labels)
    for _ in range(rounds):
        scale = whiten(labels)
        middle = means_of(rows, labels, count) @ scale
        new = [left_right(-squares(own @ scale, middle) / 2, least) for own in rows]
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
