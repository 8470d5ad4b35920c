"""Which recordings show the same workflow, and what they agree on.

Recordings of several workflows may come mixed. They are told apart by the steps they hold and the
order of these; a recording that differs by one or two steps in the place of others is taken for
wrong recognitions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from egomon.branches.interfaces import Float64
from egomon.train.teach.one_class.discover import agglomerate, silhouette

Int = NDArray[np.int64]

APART = 0.4
"""Mean distance of two workflows at least: about one step in four is another."""
CLEAR = 0.5
"""Silhouette from which groups of recordings are taken for workflows of their own."""
RARE = 0.34
"""A step in at most this share of a workflow's recordings may be a wrong recognition."""
TWICE = 0.4
"""A step that comes twice in at most this share of them, in others once, may hide another one."""
MOST_PUT_RIGHT = 2
"""Wrong recognitions in one recording: with more, it shows something else."""


def group_recordings(labels: Sequence[Int]) -> Int:
    """(R,) index of each recording's workflow, numbered by first appearance.

    Args:
        labels: steps of each recording in order of time.
    """
    many = len(labels)
    alone = np.zeros(many, dtype=np.int64)
    if many < 3:
        return alone
    distance = np.array([[recording_distance(a, b) for b in labels] for a in labels])
    best, clearest = alone, CLEAR
    for count in range(2, many):
        groups = agglomerate(distance, np.arange(many), count)
        if _nearest_groups(distance, groups) < APART:
            break
        if (clear := silhouette(distance, groups)) > clearest:
            best, clearest = groups, clear
    return _by_first_appearance(best)


def recording_distance(a: Int, b: Int) -> float:
    """1 - (share of steps in both) * (share of their pairs in the same order).

    >>> recording_distance(np.array([0, 1, 2]), np.array([0, 1, 2]))
    0.0
    >>> recording_distance(np.array([0, 1]), np.array([2, 3]))
    1.0
    """
    first_a = {int(s): i for i, s in reversed(list(enumerate(a)))}
    first_b = {int(s): i for i, s in reversed(list(enumerate(b)))}
    shared = sorted(set(first_a) & set(first_b))
    overlap = len(shared) / len(set(first_a) | set(first_b))
    pairs = [
        (first_a[s] < first_a[t]) == (first_b[s] < first_b[t])
        for i, s in enumerate(shared)
        for t in shared[i + 1 :]
    ]
    return 1.0 - overlap * (float(np.mean(pairs)) if pairs else 1.0)


def agree(labels: Sequence[Int], workflows: Int) -> list[Int]:
    """The labels, with steps that stand in the place of another one put right.

    Where a recording lacks steps that are common in its workflow, and holds as many that are rare
    there or come a second time as in few others, these are wrong recognitions of those: each
    stands for the one that brings the recording's order nearest to the others'.
    """
    right = [of.copy() for of in labels]
    for w in np.unique(workflows):
        own = [int(i) for i in np.flatnonzero(workflows == w)]
        if len(own) < 3:
            continue
        counts = [Counter(of.tolist()) for of in (labels[i] for i in own)]
        holds = Counter(s for count in counts for s in count)
        twice = Counter(s for count in counts for s, n in count.items() if n > 1)
        common = {s for s, n in holds.items() if n >= (1 - TWICE) * len(own)}
        for i, count in zip(own, counts, strict=True):
            odd = [n for n, s in enumerate(labels[i]) if int(s) not in common]
            odd = [n for n in odd if holds[int(labels[i][n])] <= RARE * len(own)]
            surplus = [s for s in common if count[s] == 2 and twice[s] <= TWICE * len(own)]
            absent = sorted(common - set(count))
            if absent and len(absent) == len(odd) + len(surplus) <= MOST_PUT_RIGHT:
                others = [labels[k] for k in own if k != i]
                right[i] = _nearest_order(labels[i], absent, odd, surplus, others)
    return right


def _nearest_order(
    labels: Int,
    absent: Sequence[int],
    odd: Sequence[int],
    surplus: Sequence[int],
    others: list[Int],
) -> Int:
    """The labels with `odd` places, and one of each `surplus` step, given the absent steps."""
    doubled = [np.flatnonzero(labels == s).tolist() for s in surplus]
    found = []
    for places in product(*([n] for n in odd), *doubled):
        for steps in permutations(absent):
            tried = labels.copy()
            tried[list(places)] = steps
            found.append((sum(recording_distance(tried, of) for of in others), tried))
    return min(found, key=lambda pair: pair[0])[1]


def _nearest_groups(distance: Float64, groups: Int) -> float:
    """Least mean distance of two groups."""
    members = [groups == g for g in np.unique(groups)]
    return min(
        float(distance[np.ix_(a, b)].mean()) for i, a in enumerate(members) for b in members[:i]
    )


def _by_first_appearance(groups: Int) -> Int:
    rank = {int(g): n for n, g in enumerate(dict.fromkeys(groups.tolist()))}
    return np.array([rank[int(g)] for g in groups], dtype=np.int64)
