"""What people changed in a taught bundle, for the one that `teach --add` puts in its place.

A step is the same where most of its time in the old recordings is. Names, options and words of
feedback of such steps are kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import msgspec

from egomon.branches.taught.corrections import Correction, read_corrections
from egomon.branches.taught.workflow_file import WORKFLOW_FILE, read_graphs
from egomon.branches.taught.workflow_graph import WorkflowGraph, WorkflowStep
from egomon.errors import DataError
from egomon.stream.segmenter import Span
from egomon.train.datasets.table import read_table_file
from egomon.train.teach.demonstrations import About
from egomon.train.teach.help_files import STEPS_FILE
from egomon.train.teach.step_filter.orders import usual_order

LEAST_SHARED = 0.5
"""Of the time of an old and a new step together; above it no step has two partners."""
Visits = Mapping[str, Sequence[Span]]
"""When steps were done, by recording; the text is the step's id."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Of a bundle, since it was taught."""

    taught: Mapping[str, WorkflowStep]
    """Steps by id, as teaching wrote them."""
    steps: Mapping[str, WorkflowStep]
    """The same steps now; where it is not known how they were taught there are none."""
    corrections: tuple[Correction, ...]
    visits: Visits

    def on(
        self, graphs: Sequence[WorkflowGraph], visits: Visits
    ) -> tuple[tuple[WorkflowGraph, ...], tuple[Correction, ...], str]:
        """Change a new bundle likewise.

        Args:
            graphs: as taught.
            visits: when their steps were done in the old recordings.

        Returns:
            The graphs, the words of feedback, and one sentence of what could not be kept; empty =
            nothing.
        """
        new_of = _partners(self.visits, visits)
        changed = {id_: step for id_, step in self.steps.items() if step != self.taught[id_]}
        old_of = {new_of[id_]: id_ for id_ in changed if id_ in new_of}
        names = {step.name for graph in graphs for step in graph.steps}

        def likewise(step: WorkflowStep) -> WorkflowStep:
            if step.id not in old_of:
                return step
            old = old_of[step.id]
            return _likewise(step, self.taught[old], self.steps[old], new_of, names)

        kept = tuple(
            msgspec.structs.replace(row, step=new_of.get(row.step, ""))
            for row in self.corrections
            if not row.step or row.step in new_of
        )
        lost = [repr(step.name) for id_, step in changed.items() if id_ not in new_of]
        words = len(self.corrections) - len(kept)
        what = [f"changes of {', '.join(lost)}"] if lost else []
        what += [f"{words} of {len(self.corrections)} words of feedback"] if words else []
        return (
            tuple(replace(graph, steps=tuple(map(likewise, graph.steps))) for graph in graphs),
            kept,
            f"{' and '.join(what)} could not be kept" if what else "",
        )


def read_changes(folder: Path, about: About) -> Changes:
    """What was changed in a taught bundle.

    Raises:
        BundleError: its workflow or feedback cannot be read.
    """
    graphs = read_graphs(folder / WORKFLOW_FILE)
    corrections = read_corrections(folder)
    shown: dict[str, list[Span]] = {}
    try:
        table = folder / STEPS_FILE
        for row in read_table_file(table) if table.is_file() else ():
            shown.setdefault(row.recording, []).append(Span(row.start, row.end, row.text))
    except DataError:  # it is theirs to edit
        shown = {}
    taught: dict[str, WorkflowStep] = {}
    visits: dict[str, list[Span]] = {}
    workflows = list(dict.fromkeys(about.workflow_of_each))
    for workflow, graph in zip(workflows, graphs, strict=False):
        own = {
            name: sorted(shown.get(name, ()), key=lambda span: span.t_start)
            for name, of in zip(about.names, about.workflow_of_each, strict=True)
            if of == workflow
        }
        orders = [[span.text or "" for span in spans] for spans in own.values()]
        usual = usual_order(orders)
        ids = dict(zip(usual, graph.ids, strict=False))
        if len(ids) < len(graph.steps) or any(set(order) != set(ids) for order in orders):
            continue
        learned = WorkflowGraph.learn(
            [[ids[text] for text in order] for order in orders],
            names={id_: text for text, id_ in ids.items()},
            tolerance=1.0,
        )
        taught |= {step.id: step for step in learned.steps}
        visits |= {
            name: [replace(span, text=ids[span.text or ""]) for span in spans]
            for name, spans in own.items()
        }
    steps = {step.id: step for graph in graphs for step in graph.steps if step.id in taught}
    return Changes(taught, steps, corrections, visits)


def _partners(old: Visits, new: Visits) -> dict[str, str]:
    """Ids of new steps by those of old ones that are the same."""
    shared: dict[tuple[str, str], float] = defaultdict(float)
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    for name in old.keys() & new.keys():
        for side, own in (("old", old[name]), ("new", new[name])):
            for span in own:
                seconds[side, span.text or ""] += span.t_end - span.t_start
        for a, b in product(old[name], new[name]):
            both = min(a.t_end, b.t_end) - max(a.t_start, b.t_start)
            shared[a.text or "", b.text or ""] += max(0.0, both)
    return {
        a: b
        for (a, b), both in shared.items()
        if both > LEAST_SHARED * (seconds["old", a] + seconds["new", b] - both)
    }


def _likewise(
    step: WorkflowStep,
    was: WorkflowStep,
    now: WorkflowStep,
    new_of: Mapping[str, str],
    names: set[str],
) -> WorkflowStep:
    """A new step with what was changed in its old one; a name of another step is not taken."""
    freed = {new_of.get(a) for a in set(was.after) - set(now.after)}
    renamed = now.name != was.name and now.name not in names
    return replace(
        step,
        name=now.name if renamed else step.name,
        after=tuple(a for a in step.after if a not in freed),
        optional=now.optional if now.optional != was.optional else step.optional,
        repeatable=now.repeatable if now.repeatable != was.repeatable else step.repeatable,
    )
