"""Teaches steps that one filter follows: from encoded recordings to a model and its graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

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
from egomon.train.teach.step_filter.boundaries import steps_of_spans
from egomon.train.teach.step_filter.calibration import calibrate
from egomon.train.teach.step_filter.orders import (
    in_one_order,
    in_own_orders,
    order_of,
)
from egomon.train.teach.step_filter.other_work import check_same_work
from egomon.train.teach.step_filter.step_model import (
    Windows,
    choose_count,
    count_within,
    find_steps,
    fit_model,
)

MOST_RECORDINGS = 50
LEAST_WINDOWS = 8
FEWER_FROM, FEWER_BY, MOST_RETRIES = 3, 2, 4
"""From so many recordings on, work in which less than half of the made mistakes is found is learned
again with two steps fewer, four times at most. Too many steps find few: hand washing in 8 to 14
steps finds 10 to 16 of 18, in 15 and 17 steps (11 are chosen) 5 to 11."""


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
    found = _teach_steps(recordings, name, false_alarms_per_hour, count, progress)
    if count is not None or len(recordings) < FEWER_FROM or any(r.spans for r in recordings):
        return found
    last = found
    for _ in range(MOST_RETRIES):
        fewer = last.report.steps - FEWER_BY
        if 2 * found.report.found >= found.report.made or fewer < FEWER_BY:
            break
        last = _teach_steps(recordings, name, false_alarms_per_hour, fewer, progress)
        found = max(found, last, key=lambda each: each.report.found)
    return found


def _teach_steps(
    recordings: Sequence[RecordingVectors],
    name: str,
    false_alarms_per_hour: float,
    count: int | None,
    progress: Callable[[str, float], None],
) -> FollowedWorkflow:
    window_seconds = window_seconds_of(recordings)
    runs = [windows_of_recording(recording, window_seconds) for recording in recordings]
    progress("finding steps", 0.0)
    known, texts = steps_of_spans(runs, recordings, count)
    if count is None and known:
        count = int(next(iter(known.values())).max()) + 1
    wanted, count = count, count or choose_count(runs)
    shortest = min(runs, key=lambda run: len(run.windows))
    if len(shortest.windows) < 2 * count:
        raise DataError(
            f"{shortest.name} is too short for {count} steps; show the whole work, or name fewer "
            "steps"
        )
    labels = find_steps(runs, count, known)
    check_same_work(runs, labels, count)
    # In one order recordings of two seem to have more steps, each a mixture.
    places = [] if known else in_one_order(runs, wanted or min(count, count_within(runs)))
    if places:
        ordered = [replace(r, windows=r.windows[p]) for r, p in zip(runs, places, strict=True)]
        count = wanted or choose_count(ordered)
        labels = in_own_orders(runs, find_steps(ordered, count), places, count)
    progress("judging each recording by the others", 0.3)
    model = fit_model(runs, labels, count, alone=len(runs) == 1)
    graph = _graph(model.ids, [order_of(of) for of in labels], name, texts)
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
        frame_seconds=window_seconds if window_seconds > WINDOW_SECONDS else 0.0,
        notes=(*_free_pairs(graph), *notes_on(len(runs), len(runs), count, 1.0)),
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


def windows_of_recording(recording: RecordingVectors, window_seconds: float) -> Windows:
    """A recording as windows.

    Raises:
        DataError: it is too short.
    """
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


def _graph(
    ids: Sequence[str], orders: Sequence[Sequence[int]], name: str, texts: Sequence[str]
) -> WorkflowGraph:
    """Each of these orders is right."""
    texts = texts or [""] * len(ids)
    graph = WorkflowGraph.learn(
        [[ids[k] for k in order] for order in orders],
        name=name,
        names={id_: texts[i] or f"step {i + 1}" for i, id_ in enumerate(ids)},
        tolerance=1.0,
    )
    return replace(graph, steps=tuple(sorted(graph.steps, key=lambda step: ids.index(step.id))))


def _free_pairs(graph: WorkflowGraph) -> list[str]:
    """A sentence that names the steps that come in either order; none where there are none."""
    pairs = [
        f"{graph.label(a.id)} and {graph.label(b.id)}"
        for a, b in combinations(graph.steps, 2)
        if a.id not in b.after and b.id not in a.after
    ]
    return [f"the recordings show either order of {', '.join(pairs)}"] if pairs else []


def _visits(run: Windows, labels: Int, ids: Sequence[str]) -> tuple[Span, ...]:
    firsts = np.flatnonzero(np.diff(labels, prepend=-1))
    ends = [*(run.times[i] for i in firsts[1:]), run.times[-1] + run.window_seconds]
    return tuple(
        Span(float(run.times[i]), float(end), ids[int(labels[i])])
        for i, end in zip(firsts, ends, strict=True)
    )
