"""Fits the taught model: steps, graph, looks, durations, and the threshold for a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from egomon.branches.bundle.card import StreamCard
from egomon.branches.interfaces import ActivityModel, Float32, Float64
from egomon.branches.taught.anomaly_score import carried, combine, excess_of, surprises_of, weigh
from egomon.branches.taught.base_head import BaseLook
from egomon.branches.taught.descriptor import CentredLook, Look, unit
from egomon.branches.taught.model import SegmentEvidence, TaughtModel
from egomon.branches.taught.workflow_graph import WorkflowGraph
from egomon.errors import DataError
from egomon.train.features.recording import RecordingVectors
from egomon.train.teach.one_class.build import account_for, build, replay
from egomon.train.teach.one_class.discover import Int, discover
from egomon.train.teach.one_class.reference_scores import (
    guessed_nulls,
    handling_null,
    nulls_of,
    threshold_for,
)
from egomon.train.teach.one_class.segment_features import SegmentedRecording, observe
from egomon.train.teach.one_class.settings import fit_settings
from egomon.train.teach.report import TeachReport, notes_on

ProgressCallback = Callable[[str, float], None]
"""(what is being done, share done in [0, 1])."""

MOST_RECORDINGS = 50
SINGLE_AGREEMENT = 0.5
"""For looks by the generic `CentredLook`: CaptainCook4D's recipes with two recordings have .56."""


@dataclass(frozen=True, slots=True, eq=False)
class TaughtWorkflow:
    """All that a taught bundle holds beside its encoder."""

    model: TaughtModel
    graphs: tuple[WorkflowGraph, ...]
    """One for each workflow found."""
    report: TeachReport
    look: Look


def fit_look(
    recordings: Sequence[RecordingVectors], stream: StreamCard, activity: ActivityModel | None
) -> CentredLook:
    """A centred look whose scale is half the typical difference from the background."""
    means = np.stack([unit(r.vectors).mean(axis=0) for r in recordings])
    prior: Float32 = np.asarray(means.mean(axis=0), np.float32)
    look = CentredLook(prior)
    seen = [observe(r, stream, look.difference, activity) for r in recordings]
    lengths = [np.linalg.norm(m.whole_look) for r in seen for m in r.moments]
    return CentredLook(prior, float(np.median(lengths)) / 2)


def teach_from_vectors(
    recordings: Sequence[RecordingVectors],
    *,
    stream: StreamCard,
    look: Look | None = None,
    activity: ActivityModel | None = None,
    name: str = "workflow",
    false_alarms_per_hour: float = 6.0,
    single_agreement: float = SINGLE_AGREEMENT,
    progress: ProgressCallback | None = None,
) -> TaughtWorkflow:
    """Learn a workflow from correct recordings.

    Args:
        recordings: 1 to 50 demonstrations, frame vectors on the card's grid.
        stream: how the monitor will cut video into segments; teaching cuts alike.
        look: describes a segment; None = a `CentredLook` scaled to these recordings.
        activity: the base bundle's activity model, for activity boundaries.
        name: name of the workflow.
        false_alarms_per_hour: budget on correct work.
        single_agreement: how well steps are expected to be recognised again where one recording
            cannot show it.
        progress: hears what is being done.

    Raises:
        DataError: no recordings, too many, or one is unusable; the message names it.
    """
    if not 1 <= len(recordings) <= MOST_RECORDINGS:
        raise DataError(f"teach needs 1 to {MOST_RECORDINGS} recordings, got {len(recordings)}")
    if len({r.vectors.shape[-1] for r in recordings}) > 1:
        raise DataError("the recordings' vectors differ in length; use one encoder for all")
    by_time = stream.policy == "fixed" and recordings[0].spans is None
    if look is None:
        look = fit_look(recordings, stream, activity)
    model, graphs, report = learn(
        [observe(r, stream, look, activity) for r in recordings],
        by_time=by_time,
        beliefs=isinstance(look, BaseLook),
        name=name,
        false_alarms_per_hour=false_alarms_per_hour,
        single_agreement=single_agreement,
        progress=progress,
    )
    return TaughtWorkflow(model, graphs, report, look)


def learn(
    recordings: Sequence[SegmentedRecording],
    *,
    by_time: bool,
    beliefs: bool = False,
    name: str = "workflow",
    false_alarms_per_hour: float = 6.0,
    single_agreement: float = SINGLE_AGREEMENT,
    progress: ProgressCallback | None = None,
) -> tuple[TaughtModel, tuple[WorkflowGraph, ...], TeachReport]:
    """Learn from observed recordings, see `teach_from_vectors`."""
    tell = progress or (lambda what, share: None)
    tell("finding steps", 0.0)
    steps = discover(recordings, by_time=by_time)
    account = account_for(steps, by_time=by_time)
    settings, agreement = fit_settings(
        recordings, account, beliefs=beliefs, single_agreement=single_agreement
    )
    model, graphs = build(recordings, steps, name=name, by_time=by_time, settings=settings)
    judged: list[list[SegmentEvidence]] = []
    for i in left_out(account.workflows):
        tell("judging each recording by the others", i / len(recordings))
        keep = [j for j in range(len(recordings)) if j != i]
        others = [recordings[j] for j in keep]
        count = len(np.unique(np.concatenate([steps.labels[j] for j in keep])))
        found = discover(others, by_time=by_time, count=count, crisp=steps.crisp)
        parts = build(others, found, name=name, by_time=by_time, settings=settings)
        judged.append(replay(*parts, recordings[i]))
    everything = [e for of in judged for e in of]
    nulls = nulls_of(everything) if judged else guessed_nulls(model)
    nulls["handling"] = handling_null(recordings)
    scores = np.array([s for of in judged for s in scores_of(of, nulls, settings.order_trust)])
    hours = sum(r.seconds for r in recordings) / 3600
    threshold = threshold_for(
        scores, hours * false_alarms_per_hour, sum(chances(of, by_time) for of in account.labels)
    )
    tell("done", 1.0)
    options = replace(model.options, threshold=threshold)
    report = TeachReport(
        recordings=len(recordings),
        segments=sum(len(r.moments) for r in recordings),
        steps=len(model.ids),
        workflows=len(graphs),
        hours=hours,
        step_agreement=agreement,
        threshold=threshold,
        false_alarms_per_hour=false_alarms_per_hour,
        alerts_on_recordings=int((scores >= threshold).sum()),
        notes=notes_on(
            len(recordings),
            min(graph.demonstrations for graph in graphs),
            len(model.ids),
            hours * false_alarms_per_hour,
        ),
    )
    return replace(model, nulls=nulls, options=options), graphs, report


def chances(labels: Int, by_time: bool) -> int:
    """How often a recording could raise a false alarm: windows of one step's run raise one."""
    return 1 + int((np.diff(labels) != 0).sum()) if by_time else len(labels)


def left_out(workflows: Int) -> list[int]:
    """Recordings whose workflow others show too."""
    return [i for i, w in enumerate(workflows) if (workflows == w).sum() > 1]


def scores_of(
    recording: Sequence[SegmentEvidence], nulls: dict[str, Float64], order_trust: float
) -> list[float]:
    """Scores of a recording's measured evidence under given nulls."""
    scores, excesses = [], list[float]()
    for evidence in recording:
        surprises = surprises_of(evidence.values, evidence.breaks, nulls, early=evidence.early)
        scores.append(combine(weigh(surprises, order_trust)) + carried(excesses, order_trust))
        excesses.append(excess_of(surprises, nulls))
    return scores
