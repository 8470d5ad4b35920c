"""Workflows, and the plan of one recording: which step comes when, right or wrong.

A step is wrong in the workflow if a part of the level before is missing (`order`; `skip` where
that part never comes), if its part is in already (`repeat`), or if the workflow has no such part
(`wrongpart`). It is wrong in execution if the hand does it badly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from egomon.train.simulator.shapes import CARDS, PARTS

RenderedMistake = Literal[
    "orient", "drop", "misplace", "incomplete", "fumble", "order", "skip", "repeat", "wrongpart"
]

EXECUTION: tuple[RenderedMistake, ...] = ("orient", "drop", "misplace", "incomplete", "fumble")
WORKFLOW_MISTAKES: tuple[RenderedMistake, ...] = ("order", "skip", "repeat", "wrongpart")
MISTAKES: tuple[RenderedMistake, ...] = EXECUTION + WORKFLOW_MISTAKES


@dataclass(frozen=True, slots=True)
class PlannedWorkflow:
    """Six parts in levels: each level may begin once all parts of the level before are in."""

    card: int
    """Index of the sign on its order card."""
    levels: tuple[tuple[int, ...], ...]
    """Part indices; the order within a level is free."""

    @property
    def name(self) -> str:
        """The sign on the order card."""
        return CARDS[self.card]

    @property
    def parts(self) -> tuple[int, ...]:
        """All parts of the recipe."""
        return tuple(part for level in self.levels for part in level)

    @property
    def absent(self) -> tuple[int, ...]:
        """Parts in the bins that this recipe does not use."""
        return tuple(part for part in range(len(PARTS)) if part not in self.parts)

    def required(self, part: int) -> tuple[int, ...]:
        """The parts that must be in before `part`."""
        level = next(i for i, parts in enumerate(self.levels) if part in parts)
        return self.levels[level - 1] if level else ()


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One part, handled rightly (mistake None) or not."""

    part: int
    mistake: RenderedMistake | None


def _workflows(first_card: int, seed: int) -> tuple[PlannedWorkflow, ...]:
    """Four recipes; each part is absent from exactly one, so no part is more suspect."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(PARTS))
    shapes = ((1, 2, 1, 2), (2, 1, 2, 1), (1, 1, 2, 2), (2, 2, 1, 1))
    made = []
    for index, sizes in enumerate(shapes):
        left_out = set(order[2 * index : 2 * index + 2].tolist())
        parts = [int(p) for p in rng.permutation(len(PARTS)) if int(p) not in left_out]
        ends = np.cumsum(sizes)
        levels = tuple(tuple(parts[e - n : e]) for e, n in zip(ends, sizes, strict=True))
        made.append(PlannedWorkflow(first_card + index, levels))
    return tuple(made)


SEEN = _workflows(0, 11)
"""The recipes that the demonstration model is trained on."""
UNSEEN = _workflows(4, 12)
"""Other recipes over the same parts, with cards of their own; never in training."""


def missing(workflow: PlannedWorkflow, part: int, done: set[int]) -> set[int]:
    """Required parts that are not in yet."""
    return set(workflow.required(part)) - done


def _candidates(
    workflow: PlannedWorkflow, todo: list[int], done: set[int]
) -> dict[RenderedMistake, list[int]]:
    """For each mistake that is possible now, the parts it could happen with.

    A skip is offered only where it wrongs a single step: one part is left out, and the part done
    instead is alone in its level, so that everything after it is right again.
    """
    ready = [part for part in todo if not missing(workflow, part, done)]
    early = [part for part in todo if missing(workflow, part, done)]
    lone = {level[0] for level in workflow.levels if len(level) == 1}
    offers: dict[RenderedMistake, list[int]] = dict.fromkeys(EXECUTION, ready)
    offers["order"] = early
    offers["skip"] = [p for p in early if p in lone and len(missing(workflow, p, done)) == 1]
    offers["repeat"] = sorted(done)
    offers["wrongpart"] = list(workflow.absent)
    return {mistake: parts for mistake, parts in offers.items() if parts}


def plan(
    workflow: PlannedWorkflow, rng: np.random.Generator, mistake_rate: float
) -> list[PlannedStep]:
    """Draw the steps of one recording; each is a mistake with probability `mistake_rate`.

    The kind is uniform among those possible at that point, so the rate does not depend on the
    step's number.
    """
    done: set[int] = set()
    waived: set[int] = set()
    steps: list[PlannedStep] = []
    while len(steps) < 2 * len(workflow.parts):
        todo = [p for p in workflow.parts if p not in done and p not in waived]
        if not todo:
            break
        ready = [p for p in todo if not missing(workflow, p, done)]
        mistake: RenderedMistake | None = None
        if rng.random() < mistake_rate:
            offers = _candidates(workflow, todo, done)
            mistake = tuple(offers)[int(rng.integers(len(offers)))]
            ready = offers[mistake]
        part = ready[int(rng.integers(len(ready)))]
        if mistake == "skip":
            waived |= missing(workflow, part, done)
        steps.append(PlannedStep(part, mistake))
        if mistake != "wrongpart":
            done.add(part)
    return steps
