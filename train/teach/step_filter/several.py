"""Teaches several workflows, each from its own recordings, for one bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from egomon.branches.step_filter.model import StepModel
from egomon.branches.taught.workflow_graph import WorkflowGraph
from egomon.stream.segmenter import Span
from egomon.train.features.recording import RecordingVectors
from egomon.train.teach.report import TeachReport
from egomon.train.teach.step_filter.calibration import poisson_upper
from egomon.train.teach.step_filter.follow import FollowedWorkflow, teach_steps


@dataclass(frozen=True, slots=True, eq=False)
class FollowedWorkflows:
    """All that a bundle with a step filter holds beside its encoder."""

    models: tuple[StepModel, ...]
    graphs: tuple[WorkflowGraph, ...]
    report: TeachReport
    visits: tuple[tuple[Span, ...], ...]
    """When each step was done in each recording; the text is the step's id."""

    def named(self, names: Sequence[str]) -> FollowedWorkflows:
        """The same with the steps' names, in order."""
        rest = iter(names)
        graphs = tuple(
            replace(graph, steps=tuple(replace(step, name=next(rest)) for step in graph.steps))
            for graph in self.graphs
        )
        return replace(self, graphs=graphs)


def teach_workflows(
    recordings: Sequence[RecordingVectors],
    *,
    name: str = "workflow",
    false_alarms_per_hour: float = 6.0,
    count: int | None = None,
    progress: Callable[[str, float], None] = lambda what, share: None,
) -> FollowedWorkflows:
    """Learn each workflow as `teach_steps` does; step ids go on from one to the next.

    Args:
        recordings: demonstrations; `workflow` says of which, and names it.
        name: of the only workflow, where recordings do not say.
        false_alarms_per_hour: budget on correct work.
        count: number of steps of the only workflow; None = find it.
        progress: hears what is being done.

    Raises:
        DataError: see `teach_steps`.
    """
    names = list(dict.fromkeys(recording.workflow for recording in recordings))
    models: list[StepModel] = []
    graphs: list[WorkflowGraph] = []
    reports: list[TeachReport] = []
    visits: list[tuple[Span, ...]] = [()] * len(recordings)
    for place, workflow in enumerate(names):
        own = [i for i, recording in enumerate(recordings) if recording.workflow == workflow]

        def tell(what: str, share: float, place: int = place, workflow: str = workflow) -> None:
            progress(f"{workflow}: {what}" if workflow else what, (place + share) / len(names))

        taught = teach_steps(
            [recordings[i] for i in own],
            name=workflow or name,
            false_alarms_per_hour=false_alarms_per_hour,
            count=count,
            progress=tell,
        )
        taught = _renumbered(taught, sum(len(model.ids) for model in models))
        models.append(taught.model)
        graphs += taught.graphs
        reports.append(taught.report)
        for i, spans in zip(own, taught.visits, strict=True):
            visits[i] = spans
    report = reports[0] if len(names) == 1 else _together(names, reports)
    return FollowedWorkflows(tuple(models), tuple(graphs), report, tuple(visits))


def _renumbered(taught: FollowedWorkflow, first: int) -> FollowedWorkflow:
    if not first:
        return taught
    new = {id_: f"step-{first + k}" for k, id_ in enumerate(taught.model.ids, start=1)}
    graphs = tuple(
        replace(
            graph,
            steps=tuple(
                replace(step, id=new[step.id], after=tuple(new[a] for a in step.after))
                for step in graph.steps
            ),
        )
        for graph in taught.graphs
    )
    return replace(
        taught,
        model=replace(taught.model, ids=tuple(new.values())),
        graphs=graphs,
        visits=tuple(
            tuple(replace(span, text=new[span.text or ""]) for span in spans)
            for spans in taught.visits
        ),
    )


def _together(names: Sequence[str], reports: Sequence[TeachReport]) -> TeachReport:
    """Counts are summed; the least agreement and all notes count."""
    agreements = [r.step_agreement for r in reports if r.step_agreement is not None]
    alarms = sum(r.alerts_on_recordings for r in reports)
    judged = sum(r.judged_hours for r in reports)
    learned = "; ".join(
        f"{name}: {r.steps} steps in {r.recordings} recordings"
        for name, r in zip(names, reports, strict=True)
    )
    notes = [f"{name}: {note}" for name, r in zip(names, reports, strict=True) for note in r.notes]
    return replace(
        reports[0],
        recordings=sum(r.recordings for r in reports),
        segments=sum(r.segments for r in reports),
        steps=sum(r.steps for r in reports),
        workflows=len(reports),
        hours=sum(r.hours for r in reports),
        frame_seconds=max(r.frame_seconds for r in reports),
        step_agreement=min(agreements) if agreements else None,
        alerts_on_recordings=alarms,
        made=sum(r.made for r in reports),
        found=sum(r.found for r in reports),
        judged_hours=judged,
        most_an_hour=poisson_upper(alarms) / judged if judged else None,
        notes=(learned, *notes),
    )
