"""Teaches steps that one filter follows: from encoded recordings to a model and its graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from egomon.branches.step_filter.descriptor import (
    WINDOW_SECONDS,
    window_numbers,
    windows_of,
)
from egomon.branches.step_filter.model import StepModel
from egomon.branches.taught.workflow_graph import WorkflowGraph
from egomon.errors import DataError
from egomon.stream.segmenter import Span
from egomon.train.features.recording import RecordingVectors, check_vectors
from egomon.train.teach.report import TeachReport, notes_on
from egomon.train.teach.step_filter.alignment import Int
from egomon.train.teach.step_filter.calibration import calibrate
from egomon.train.teach.step_filter.other_work import check_same_work
from egomon.train.teach.step_filter.step_model import Windows, choose_count, find_steps, fit_model

MOST_RECORDINGS = 50
LEAST_WINDOWS = 8


@dataclass(frozen=True, slots=True, eq=False)
class FollowedWorkflow:
    """All that a bundle with a step filter holds beside its encoder."""

    model: StepModel
    graphs: tuple[WorkflowGraph, ...]
    report: TeachReport
    visits: tuple[tuple[Span, ...], ...]
    """When each step was done in each recording; the text is the step's id."""


def teach_steps(
    recordings: Sequence[RecordingVectors],
    *,
    name: str = "workflow",
    false_alarms_per_hour: float = 6.0,
    count: int | None = None,
    progress: Callable[[str, float], None] = lambda what, share: None,
) -> FollowedWorkflow:
    """Learn a workflow from correct recordings.

    Args:
        recordings: 1 to 50 demonstrations, frame vectors on the card's grid.
        name: name of the workflow.
        false_alarms_per_hour: budget on correct work.
        count: number of steps; None = find it.
        progress: hears what is being done.

    Raises:
        DataError: no recordings, too many, or one is unusable or shows other work; the message
            names it.
    """
    if not 1 <= len(recordings) <= MOST_RECORDINGS:
        raise DataError(f"teach needs 1 to {MOST_RECORDINGS} recordings, got {len(recordings)}")
    if len({r.vectors.shape[-1] for r in recordings}) > 1:
        raise DataError("the recordings' vectors differ in length; use one encoder for all")
    for recording in recordings:
        check_vectors(recording)
    window_seconds = window_seconds_of(recordings)
    runs = [_windows(recording, window_seconds) for recording in recordings]
    progress("finding steps", 0.0)
    given = {i: _given(run, r) for i, (run, r) in enumerate(zip(runs, recordings, strict=True))}
    known = {i: labels for i, labels in given.items() if labels is not None}
    if count is None and known:
        count = int(next(iter(known.values())).max()) + 1
    count = count or choose_count(runs)
    shortest = min(runs, key=lambda run: len(run.windows))
    if len(shortest.windows) < 2 * count:
        raise DataError(
            f"{shortest.name} is too short for {count} steps; show the whole work, or name fewer "
            "steps"
        )
    labels = find_steps(runs, count, known)
    check_same_work(runs, labels, count)
    progress("judging each recording by the others", 0.3)
    model = fit_model(runs, labels, count, alone=len(runs) == 1)
    graph = WorkflowGraph.learn(
        [list(model.ids)] * len(runs),
        name=name,
        names={id_: f"step {i}" for i, id_ in enumerate(model.ids, start=1)},
    )
    calibration = calibrate(
        runs,
        labels,
        model,
        (graph,),
        lambda share: progress("judging each recording by the others", 0.3 + 0.7 * share),
        false_alarms_per_hour,
    )
    progress("done", 1.0)
    hours = sum(len(run.windows) for run in runs) * window_seconds / 3600
    report = TeachReport(
        recordings=len(runs),
        segments=sum(len(run.windows) for run in runs),
        steps=count,
        workflows=1,
        hours=hours,
        step_agreement=calibration.agreement,
        threshold=calibration.options.threshold,
        false_alarms_per_hour=false_alarms_per_hour,
        alerts_on_recordings=calibration.false_alarms,
        made=calibration.made,
        found=calibration.found,
        judged_hours=calibration.hours,
        most_an_hour=calibration.most_an_hour if calibration.hours else None,
        notes=notes_on(len(runs), len(runs), count, 1.0),
    )
    return FollowedWorkflow(
        replace(model, options=calibration.options),
        (graph,),
        report,
        tuple(_visits(run, of, model.ids) for run, of in zip(runs, labels, strict=True)),
    )


def window_seconds_of(recordings: Sequence[RecordingVectors]) -> float:
    """Seconds of a window: what usually lies between two frames if that is more than usual."""
    between = [np.diff(recording.times) for recording in recordings]
    usual = float(np.median(np.concatenate(between))) if sum(map(len, between)) else 0.0
    return max(usual, WINDOW_SECONDS)


def _windows(recording: RecordingVectors, window_seconds: float) -> Windows:
    vectors, times = recording.vectors, recording.times
    numbers = np.unique(window_numbers(times, window_seconds))
    if len(numbers) < LEAST_WINDOWS:
        raise DataError(
            f"{recording.name} lasts {len(numbers) * window_seconds:g} s, too short to show a "
            "workflow; record the whole work"
        )
    begin = np.asarray(numbers * window_seconds, np.float64)
    return Windows(
        recording.name, windows_of(times, vectors, window_seconds), begin, window_seconds
    )


def _given(run: Windows, recording: RecordingVectors) -> Int | None:
    """(W,) steps from known boundaries; what lies between two belongs to the earlier one."""
    if recording.spans is None:
        return None
    starts = np.array(sorted(span.t_start for span in recording.spans))
    labels: Int = np.searchsorted(starts, run.times + run.window_seconds / 2, side="right") - 1
    return np.maximum(labels, 0)


def _visits(run: Windows, labels: Int, ids: Sequence[str]) -> tuple[Span, ...]:
    firsts = np.flatnonzero(np.diff(labels, prepend=-1))
    ends = [*(run.times[i] for i in firsts[1:]), run.times[-1] + run.window_seconds]
    return tuple(
        Span(float(run.times[i]), float(end), ids[int(labels[i])])
        for i, end in zip(firsts, ends, strict=True)
    )
