"""Two steps made one, or one made two: what is given to `teach` so that it learns these steps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from egomon.branches.taught.workflow_graph import WorkflowStep
from egomon.errors import UsageError
from egomon.stream.segmenter import Span

SHORTEST_SECONDS = 1.0
"""A step lasts so long at least, in each run."""
_GIVEN_NAME = re.compile(r"step \d+")


@dataclass(frozen=True, slots=True)
class LearnedSteps:
    """Steps of one workflow in order, and when each was done in each run."""

    steps: tuple[WorkflowStep, ...]
    runs: Mapping[str, tuple[Span, ...]]
    """A span for each step, in their order, by the name of the run."""

    def index(self, step: object) -> int:
        """Place of the step with this id.

        Raises:
            UsageError: there is none.
        """
        found = next((i for i, each in enumerate(self.steps) if each.id == step), None)
        if found is None:
            raise UsageError("there is no such step any more")
        return found


@dataclass(frozen=True, slots=True)
class StepEdit:
    """What the steps shall be."""

    names: tuple[str, ...]
    optional: frozenset[str]
    """Names of steps that may be left out."""
    runs: Mapping[str, tuple[Span, ...]]
    """A span for each step, in their order, by the name of the run."""
    new_ids: Mapping[str, str]
    """Ids of the steps that there were to those they get: steps are numbered anew."""


def merged(learned: LearnedSteps, step: object) -> StepEdit:
    """This step and the next one are one, with the name of the first.

    Raises:
        UsageError: no such step, it is the last one, or another comes between them in a run.
    """
    at = learned.index(step)
    if at + 1 == len(learned.steps):
        raise UsageError("the last step has no next one")
    if len(learned.steps) == 2:
        raise UsageError("a work has two steps at least")
    first, second = learned.steps[at : at + 2]
    one = replace(first, optional=first.optional and second.optional)
    runs = {
        name: (*spans[:at], _joined(name, spans, at), *spans[at + 2 :])
        for name, spans in learned.runs.items()
    }
    places = [i - (i > at) for i in range(len(learned.steps))]
    return _edit(learned, [*learned.steps[:at], one, *learned.steps[at + 2 :]], runs, places)


def divided(
    learned: LearnedSteps, step: object, run: str | None = None, seconds: float | None = None
) -> StepEdit:
    """This step is two.

    Args:
        learned: the steps.
        step: id of the one to divide.
        run: the run in which `seconds` was chosen.
        seconds: where the second part begins in that run; in the others it begins after the same
            share of the step. None = in the middle.

    Raises:
        UsageError: no such step or run, or a part would be too short.
    """
    at = learned.index(step)
    share = 0.5
    if seconds is not None:
        spans = learned.runs.get(run or "")
        if spans is None:
            raise UsageError("there is no such run any more")
        share = (seconds - spans[at].t_start) / spans[at].duration_seconds
    runs = {}
    for name, spans in learned.runs.items():
        span = spans[at]
        middle = span.t_start + share * span.duration_seconds
        if not min(middle - span.t_start, span.t_end - middle) >= SHORTEST_SECONDS:  # NaN too
            raise UsageError(
                f"each part must last {SHORTEST_SECONDS:g} s at least, in {name} too, where the "
                f"step lasts from {span.t_start:.1f} to {span.t_end:.1f} s; choose another time"
            )
        halves = (Span(span.t_start, middle), Span(middle, span.t_end))
        runs[name] = (*spans[:at], *halves, *spans[at + 1 :])
    second = replace(learned.steps[at], name=_free_name(learned, learned.steps[at].name))
    places = [i + (i > at) for i in range(len(learned.steps))]
    return _edit(
        learned, [*learned.steps[: at + 1], second, *learned.steps[at + 1 :]], runs, places
    )


def _joined(run: str, spans: Sequence[Span], at: int) -> Span:
    """A step and the next one as one span, whichever comes first in this run."""
    begin, last = sorted(spans[at : at + 2], key=lambda span: span.t_start)
    if any(begin.t_start < span.t_start < last.t_start for span in spans):
        raise UsageError(f"another step comes between these two in {run}, so they stay two")
    return Span(begin.t_start, last.t_end)


def _edit(
    learned: LearnedSteps,
    steps: Sequence[WorkflowStep],
    runs: Mapping[str, tuple[Span, ...]],
    places: Sequence[int],
) -> StepEdit:
    """Names that nobody gave are numbered anew; one that a person gave is kept."""
    kept = {s.name for s in steps if not _GIVEN_NAME.fullmatch(s.name)}
    names = [
        step.name if step.name in kept else f"step {number}" for number, step in enumerate(steps, 1)
    ]
    return StepEdit(
        names=tuple(names),
        optional=frozenset(n for n, step in zip(names, steps, strict=True) if step.optional),
        runs={
            run: tuple(replace(s, text=n) for s, n in zip(spans, names, strict=True))
            for run, spans in runs.items()
        },
        new_ids={s.id: f"step-{i + 1}" for s, i in zip(learned.steps, places, strict=True)},
    )


def _free_name(learned: LearnedSteps, name: str) -> str:
    """A name for the second part; one that was only a number stays one."""
    if _GIVEN_NAME.fullmatch(name):
        return "step 0"  # numbered anew with the others
    taken = {step.name for step in learned.steps}
    return next(f"{name}, part {n}" for n in range(2, 100) if f"{name}, part {n}" not in taken)
