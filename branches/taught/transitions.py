"""Workflow graphs compiled to bit masks, and what may come next under them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from egomon.branches.taught.workflow_graph import WorkflowGraph

FREE_PRIOR = 0.1
"""Share of the pairs of steps whose order is taken to be free before any was shown."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What may come next in one workflow, as indices of steps."""

    legal: tuple[int, ...]
    early: tuple[tuple[int, int], ...]
    """Step, and the mask of the steps demanded before it that were not seen."""
    again: tuple[int, ...]
    """Done, and not repeatable."""
    foreign: tuple[int, ...]
    """Steps of other workflows."""


@dataclass(frozen=True, slots=True)
class Rules:
    """One workflow's demands; a mask has bit k for step k of the model's `ids`."""

    member: int
    need: tuple[int, ...]
    optional: int
    repeatable: int
    slack: float
    """Chance that a demand is chance: the demonstrations happened to show a free pair alike."""

    @classmethod
    def of(cls, graph: WorkflowGraph, ids: Sequence[str]) -> Rules:
        """Compile a graph.

        Args:
            graph: its step ids are among `ids`.
            ids: all steps that the model knows.
        """
        bit = {id_: 1 << k for k, id_ in enumerate(ids)}
        need = dict.fromkeys(ids, 0)
        for step in graph.steps:
            need[step.id] = sum(bit[a] for a in step.after)
        return cls(
            member=sum(bit[s.id] for s in graph.steps),
            need=tuple(need[id_] for id_ in ids),
            optional=sum(bit[s.id] for s in graph.steps if s.optional),
            repeatable=sum(bit[s.id] for s in graph.steps if s.repeatable),
            slack=chance_of_free_order(graph.demonstrations),
        )

    def missing(self, step: int, done: int) -> int:
        """Mask of the steps that must come before `step` and are not in `done`."""
        absent = self.need[step] & ~done
        if self.optional >> step & 1:
            return absent
        return absent & ~self.optional

    def ready(self, done: int, waived: int) -> Ready:
        """What may come next.

        Args:
            done: mask of the steps seen.
            waived: mask of steps whose absence has been shown and is not asked about again.
        """
        return _ready(self, done, waived)


def chance_of_free_order(demonstrations: int) -> float:
    """Probability that a pair shown in one order n times is free, by Bayes' rule.

    A free pair comes in this order n times with probability 2^-n, a strict one with 1/2, as
    either order could have been the strict one. 0 demonstrations: the order was set by hand.

    >>> [round(chance_of_free_order(n), 3) for n in (0, 1, 3, 5)]
    [0.0, 0.1, 0.027, 0.007]
    """
    if demonstrations <= 0:
        return 0.0
    free = FREE_PRIOR * 0.5**demonstrations
    return free / (free + (1 - FREE_PRIOR) / 2)


def bits(mask: int) -> Iterator[int]:
    """Indices of the bits that are set."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


@lru_cache(maxsize=8192)
def _ready(rules: Rules, done: int, waived: int) -> Ready:
    legal, early, again, foreign = [], [], [], []
    for step in range(len(rules.need)):
        one = 1 << step
        if not rules.member & one:
            foreign.append(step)
        elif done & one and not rules.repeatable & one:
            again.append(step)
        elif absent := rules.missing(step, done | waived):
            early.append((step, absent))
        else:
            legal.append(step)
    return Ready(tuple(legal), tuple(early), tuple(again), tuple(foreign))
