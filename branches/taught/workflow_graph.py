"""The workflow graph: which steps there are and what must come before each, learned by counting.

The count rule: take the first occurrences of each correct demonstration; `n[b]` demonstrations
hold b, in `c[a, b]` of them a comes first; `need[b] = {a : c[a, b] >= tau n[b]}`. Online, a step
is wrong if it was never demonstrated or if `need[b]` is not a subset of the steps seen so far;
the reason is what is missing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from egomon.branches.taught.workflow_drawing import draw_svg, draw_text

FindingKind = Literal["unknown", "missing", "repeated"]

DEFAULT_TOLERANCE = 0.9
REPEAT_SHARE = 0.25
"""A step is repeatable if more than this share of its demonstrations repeat it: one slip of a
recogniser among many recordings does not make it so."""


@dataclass(frozen=True, slots=True)
class WorkflowStep:
    """One step, as learned or as edited by the user."""

    id: str
    """Never changes; the bundle's arrays hang on it."""
    name: str
    after: tuple[str, ...] = ()
    """need[b]: ids of the steps that must have been seen before."""
    optional: bool = False
    """May be left out: its absence is told only to steps that are optional themselves."""
    repeatable: bool = False
    """May be done more than once."""


@dataclass(frozen=True, slots=True)
class OrderFinding:
    """Why a step breaks the workflow."""

    kind: FindingKind
    step: str
    missing: tuple[str, ...]
    """Ids of the steps that should have come before; empty for other kinds."""
    reason: str
    """One sentence for a person."""


@dataclass(frozen=True, slots=True)
class WorkflowGraph:
    """Steps in the order of the demonstrations, with their preconditions."""

    name: str
    steps: tuple[WorkflowStep, ...]
    demonstrations: int = 0
    """How many recordings the order was counted in; 0: it is certain."""

    @classmethod
    def learn(
        cls,
        demonstrations: Sequence[Sequence[str]],
        *,
        name: str = "workflow",
        names: Mapping[str, str] | None = None,
        tolerance: float = DEFAULT_TOLERANCE,
    ) -> WorkflowGraph:
        """Count rule over correct demonstrations.

        Args:
            demonstrations: step ids in order of time, one sequence a recording.
            name: name of the workflow.
            names: step id to the text that is shown; without it the id.
            tolerance: tau, the share of b's demonstrations in which a must come before b. It
                also decides `optional`: steps that fewer demonstrations hold.

        >>> graph = WorkflowGraph.learn([["cut", "glue", "press"], ["cut", "glue"]])
        >>> [(s.id, s.after, s.optional) for s in graph.steps]
        [('cut', (), False), ('glue', ('cut',), False), ('press', ('cut', 'glue'), True)]
        """
        holds: Counter[str] = Counter()
        before: Counter[tuple[str, str]] = Counter()
        place: dict[str, float] = defaultdict(float)
        repeated: Counter[str] = Counter()
        for demonstration in demonstrations:
            firsts = list(dict.fromkeys(demonstration))
            repeated.update(s for s, times in Counter(demonstration).items() if times > 1)
            for i, b in enumerate(firsts):
                holds[b] += 1
                place[b] += (i + 0.5) / len(firsts)
                before.update((a, b) for a in firsts[:i])
        ordered = sorted(holds, key=lambda s: place[s] / holds[s])
        return cls(
            name,
            tuple(
                WorkflowStep(
                    id=b,
                    name=(names or {}).get(b, b),
                    after=tuple(
                        a for a in ordered if a != b and before[a, b] >= tolerance * holds[b]
                    ),
                    optional=holds[b] < tolerance * len(demonstrations),
                    repeatable=repeated[b] > REPEAT_SHARE * holds[b],
                )
                for b in ordered
            ),
            len(demonstrations),
        )

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all steps, in order."""
        return tuple(step.id for step in self.steps)

    def find(self, step: str) -> WorkflowStep | None:
        """The step with this id, None where the workflow has none."""
        return next((s for s in self.steps if s.id == step), None)

    def label(self, step: str) -> str:
        """Name and number of a step for a person: `'press' (step 3)`.

        >>> WorkflowGraph.learn([["cut", "glue"]]).label("glue")
        "'glue' (step 2)"
        """
        number = 1 + self.ids.index(step)
        name = self.named(step)
        return f"step {number}" if name == f"step {number}" else f"'{name}' (step {number})"

    def named(self, step: str) -> str:
        """Name of a step."""
        return self.steps[self.ids.index(step)].name

    def missing_before(self, step: str, seen: Collection[str]) -> tuple[str, ...]:
        """Preconditions of a step that have not been seen."""
        found = self.find(step)
        if found is None:
            return ()
        optional = {s.id for s in self.steps if s.optional}
        return tuple(
            a for a in found.after if a not in seen and (found.optional or a not in optional)
        )

    def check(self, step: str, seen: Collection[str]) -> OrderFinding | None:
        """Judge a step that starts now.

        Args:
            step: id of the step.
            seen: ids of the steps seen so far, right or wrong.

        Returns:
            What is wrong, or None.
        """
        found = self.find(step)
        if found is None:
            return OrderFinding("unknown", step, (), f"'{step}' is not a step of this workflow")
        missing = self.missing_before(step, seen)
        if missing:
            absent = _join([self.label(a) for a in missing])
            verb = "has" if len(missing) == 1 else "have"
            reason = f"expected {absent}, which {verb} not been seen; {self.label(step)} began"
            return OrderFinding("missing", step, missing, reason)
        if step in seen and not found.repeatable:
            reason = f"{self.label(step)} is done again, it has been seen before"
            return OrderFinding("repeated", step, (), reason)
        return None

    def with_step(self, step: WorkflowStep) -> WorkflowGraph:
        """The same graph with one step replaced by its id."""
        return replace(self, steps=tuple(step if s.id == step.id else s for s in self.steps))

    def to_text(self) -> str:
        """The graph for a terminal."""
        return f"{self.name}\n\n" + draw_text(self._labels(), self._after(), self._marks())

    def to_svg(self) -> str:
        """The graph as a standalone SVG file."""
        return draw_svg(self.name, self._labels(), self._after(), self._marks())

    def _labels(self) -> dict[str, str]:
        numbered = enumerate(self.steps, start=1)
        return {s.id: s.name if s.name == f"step {n}" else f"{n} {s.name}" for n, s in numbered}

    def _after(self) -> dict[str, tuple[str, ...]]:
        return {s.id: s.after for s in self.steps}

    def _marks(self) -> dict[str, str]:
        return {
            s.id: ", ".join(
                mark for mark, on in (("optional", s.optional), ("repeatable", s.repeatable)) if on
            )
            for s in self.steps
        }


def _join(parts: Sequence[str]) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
