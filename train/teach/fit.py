"""Fits the taught model: steps, graph, looks, durations, and the threshold for a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from egomon.branches.base import ActivityModel, Float32, Float64
from egomon.branches.card import StreamCard
from egomon.branches.graph import WorkflowGraph
from egomon.branches.taught_look import CentredLook, Look, unit
from egomon.branches.taught_model import (
    Evidence,
    ModelOptions,
    TaughtModel,
    look_distances,
    step_distances,
)
from egomon.branches.taught_surprise import surprises_of, weigh
from egomon.errors import DataError
from egomon.train.teach.build import PLACE_WEIGHT, build, replay
from egomon.train.teach.discover import Steps, discover
from egomon.train.teach.moments import Recording, RecordingVectors, observe
from egomon.train.teach.nulls import (
    guessed_nulls,
    handling_null,
    none_distance,
    nulls_of,
    threshold_for,
)
from egomon.train.teach.report import TeachReport, notes_on

Progress = Callable[[str, float], None]
"""(what is being done, share done in [0, 1])."""

MOST_RECORDINGS = 50
MISSING_TRUST = (0.5, 0.75)
"""Agreement at which a missing step begins to count, and counts in full. On CaptainCook4D missing
steps tell mistakes where agreement is .75 (AUC .66) and mislead where it is .5."""
REPEATED_TRUST = (0.7, 0.9)
"""Repetition needs more: each wrong recognition makes one."""
SINGLE_AGREEMENT = 0.5
"""For looks by the generic `CentredLook`: CaptainCook4D's recipes with two recordings have .56."""
SHARPNESSES = (2.0, 5.0, 10.0, 20.0, 40.0, 80.0)


@dataclass(frozen=True, slots=True, eq=False)
class TaughtWorkflow:
    """All that a taught bundle holds beside its encoder."""

    model: TaughtModel
    graph: WorkflowGraph
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
    progress: Progress | None = None,
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
    model, graph, report = learn(
        [observe(r, stream, look, activity) for r in recordings],
        by_time=by_time,
        name=name,
        false_alarms_per_hour=false_alarms_per_hour,
        single_agreement=single_agreement,
        progress=progress,
    )
    return TaughtWorkflow(model, graph, report, look)


def learn(
    recordings: Sequence[Recording],
    *,
    by_time: bool,
    name: str = "workflow",
    false_alarms_per_hour: float = 6.0,
    single_agreement: float = SINGLE_AGREEMENT,
    progress: Progress | None = None,
) -> tuple[TaughtModel, WorkflowGraph, TeachReport]:
    """Learn from observed recordings, see `teach_from_vectors`."""
    tell = progress or (lambda what, share: None)
    tell("finding steps", 0.0)
    steps = discover(recordings, by_time=by_time)
    sharpness, agreement = fit_sharpness(recordings, steps, by_time)
    trusted = single_agreement if agreement is None else agreement
    repeated_trust = _ramp(trusted, *REPEATED_TRUST)
    settings = {"sharpness": sharpness, "place_weight": PLACE_WEIGHT * (1 - repeated_trust)}
    model, graph = build(recordings, steps, name=name, by_time=by_time, **settings)
    options = replace(
        model.options,
        missing_trust=_ramp(trusted, *MISSING_TRUST),
        repeated_trust=repeated_trust,
    )
    judged: list[Evidence] = []
    for i in range(len(recordings) if len(recordings) > 1 else 0):
        tell("judging each recording by the others", i / len(recordings))
        others = [r for j, r in enumerate(recordings) if j != i]
        found = discover(others, by_time=by_time, count=min(steps.count, _least(others)))
        parts = build(others, found, name=name, by_time=by_time, **settings)
        judged += replay(*parts, recordings[i])
    nulls = nulls_of(judged) if judged else guessed_nulls(model)
    nulls["handling"] = handling_null(recordings)
    scores = np.array([score_of(e, nulls, options) for e in judged])
    hours = sum(r.seconds for r in recordings) / 3600
    threshold = threshold_for(scores, hours * false_alarms_per_hour, nulls)
    tell("done", 1.0)
    options = replace(options, threshold=threshold, none_distance=none_distance(model, nulls))
    report = TeachReport(
        recordings=len(recordings),
        segments=len(model.steps),
        steps=len(model.ids),
        hours=hours,
        step_agreement=agreement,
        threshold=threshold,
        false_alarms_per_hour=false_alarms_per_hour,
        alerts_on_recordings=int((scores >= threshold).sum()),
        notes=notes_on(len(recordings), len(model.ids), hours * false_alarms_per_hour),
    )
    return replace(model, nulls=nulls, options=options), graph, report


def score_of(evidence: Evidence, nulls: dict[str, Float64], options: ModelOptions) -> float:
    """Score of measured evidence under given nulls."""
    surprises = surprises_of(evidence.values, nulls, early=evidence.early)
    parts = weigh(
        surprises, missing_trust=options.missing_trust, repeated_trust=options.repeated_trust
    )
    return sum(parts.values())


def fit_sharpness(
    recordings: Sequence[Recording], steps: Steps, by_time: bool
) -> tuple[float, float | None]:
    """Slope of the step's confidence with the highest likelihood on left-out recordings.

    Returns:
        The slope, and the share of left-out segments put into their own step (None with one
        recording).
    """
    rows: list[tuple[Float64, int]] = []
    for i in range(len(recordings) if len(recordings) > 1 else 0):
        keep = [j for j in range(len(recordings)) if j != i]
        known = np.unique(np.concatenate([steps.labels[j] for j in keep]))
        rank = {int(k): n for n, k in enumerate(known)}
        part = Steps(
            tuple(np.searchsorted(known, steps.labels[j]) for j in keep),
            tuple(steps.places[j] for j in keep),
            len(known),
        )
        model, _ = build([recordings[j] for j in keep], part, name="", by_time=by_time)
        # `build` renumbers steps in the graph's order: ids tell the way back.
        way = _renumbering(part, model)
        for moment, label in zip(recordings[i].moments, steps.labels[i], strict=True):
            if int(label) in rank:
                distances = step_distances(model, look_distances(model, moment.look))
                rows.append((distances, way[rank[int(label)]]))
    if not rows:
        return 20.0, None
    agreement = float(np.mean([int(d.argmin()) == k for d, k in rows]))

    def loss(sharpness: float) -> float:
        total = 0.0
        for d, k in rows:
            z = -sharpness * d
            total += float(np.logaddexp.reduce(z) - z[k])
        return total

    return min(SHARPNESSES, key=loss), agreement


def _renumbering(steps: Steps, model: TaughtModel) -> dict[int, int]:
    labels = np.concatenate(steps.labels)
    return {int(old): int(new) for old, new in zip(labels, model.steps, strict=True)}


def _least(recordings: Sequence[Recording]) -> int:
    return max(1, sum(len(r.moments) for r in recordings))


def _ramp(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))
