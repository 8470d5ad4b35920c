"""Which recordings show the same workflow, and what they agree on.

Recordings of several workflows may come mixed. They are told apart by the steps they hold and the
order of these; a recording whose only difference is one step in the place of another is taken for
a wrong recognition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from egomon.branches.base import Float64
from egomon.train.teach.discover import agglomerate, silhouette

Int = NDArray[np.int64]

APART = 0.4
"""Mean distance of two workflows at least: about one step in four is another."""
CLEAR = 0.5
"""Silhouette from which groups of recordings are taken for workflows of their own."""
RARE = 0.34
"""A step in at most this share of a workflow's recordings may be a wrong recognition."""


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

    Where a recording holds a step that is rare in its workflow and lacks one that is common
    there, the first is a wrong recognition of the second.
    """
    right = [of.copy() for of in labels]
    for w in np.unique(workflows):
        own = [int(i) for i in np.flatnonzero(workflows == w)]
        if len(own) < 3:
            continue
        holds = Counter(int(s) for i in own for s in np.unique(labels[i]))
        common = {s for s, n in holds.items() if n >= (1 - RARE) * len(own)}
        for i in own:
            _put_right(right[i], holds, common, RARE * len(own))
    return right


def _put_right(labels: Int, holds: Counter[int], common: set[int], rare: float) -> None:
    absent = sorted(common - {int(s) for s in labels})
    odd = [n for n, s in enumerate(labels) if int(s) not in common and holds[int(s)] <= rare]
    if len(absent) == len(odd) == 1:
        labels[odd[0]] = absent[0]


def _nearest_groups(distance: Float64, groups: Int) -> float:
    """Least mean distance of two groups."""
    members = [groups == g for g in np.unique(groups)]
    return min(
        float(distance[np.ix_(a, b)].mean()) for i, a in enumerate(members) for b in members[:i]
    )


def _by_first_appearance(groups: Int) -> Int:
    rank = {int(g): n for n, g in enumerate(dict.fromkeys(groups.tolist()))}
    return np.array([rank[int(g)] for g in groups], dtype=np.int64)
