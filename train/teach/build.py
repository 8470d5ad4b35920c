"""From grouped moments to a model and its graph, and a model's view of a whole recording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from egomon.branches.base import Float64, StepGuess, StepSeen
from egomon.branches.graph import WorkflowGraph
from egomon.branches.taught_model import Evidence, ModelOptions, TaughtModel, judge
from egomon.branches.taught_surprise import NULLS
from egomon.train.teach.discover import Int, Steps
from egomon.train.teach.moments import Recording

FIRST_SHARPNESS = 20.0
PLACE_WEIGHT = 2.0
"""Of places where steps are not recognised; with 0, 1, 2 the look's AUC on CaptainCook4D is .57,
.60, .62. Where steps are recognised well their order says it better, and places are left out."""
DEFAULT_LOG_SPREAD = 0.5
"""Of ln(duration), where one recording shows each step once."""
LEAST_LOG_SPREAD = 0.2
"""No step's duration is known to better than about 20 %."""
SHRINKAGE = 3.0
"""Segments that the spread of all steps' durations counts for in each step's own."""


def build(
    recordings: Sequence[Recording],
    steps: Steps,
    *,
    name: str,
    by_time: bool,
    sharpness: float = FIRST_SHARPNESS,
    place_weight: float = PLACE_WEIGHT,
) -> tuple[TaughtModel, WorkflowGraph]:
    """Model without nulls and threshold, and the graph by the count rule."""
    rough = WorkflowGraph.learn([_sequence(labels, by_time) for labels in steps.labels])
    order = [int(i) for i in rough.ids]
    ids = {old: f"step-{new}" for new, old in enumerate(order, start=1)}
    texts = _texts(recordings, steps, order)
    graph = WorkflowGraph.learn(
        [[ids[int(i)] for i in _sequence(labels, by_time)] for labels in steps.labels],
        name=name,
        names={ids[old]: text for old, text in zip(order, texts, strict=True)},
    )
    rank = np.empty(steps.count, dtype=np.int64)
    rank[order] = np.arange(steps.count)
    labels = tuple(rank[of] for of in steps.labels)
    sizes = [r.seconds if by_time else len(r.moments) for r in recordings]
    model = TaughtModel(
        ids=tuple(ids[old] for old in order),
        looks=np.stack([m.look for r in recordings for m in r.moments]),
        steps=np.concatenate(labels),
        places=np.concatenate(steps.places),
        log_seconds=_durations(recordings, labels, steps.count, by_time),
        nulls={kind: np.empty(0) for kind in NULLS},
        options=ModelOptions(
            typical_segments=float(np.median(sizes)),
            sharpness=sharpness,
            place_weight=place_weight,
            threshold=0.0,
            by_time=by_time,
        ),
    )
    return model, graph


def replay(model: TaughtModel, graph: WorkflowGraph, recording: Recording) -> list[Evidence]:
    """Judge a recording's segments one after the other, as a live lane does."""
    seen: list[StepSeen] = []
    found = []
    for moment in recording.moments:
        evidence = judge(
            model,
            graph,
            moment.look,
            seen=seen,
            t_start=moment.span.t_start,
            t_end=moment.span.t_end,
            workflow_start=recording.start,
            background_frames=moment.background_frames,
            handling=moment.handling,
        )
        step = model.ids[evidence.step]
        guess = StepGuess(step, step, evidence.confidence)
        seen.append(StepSeen(guess, moment.span.t_start, moment.span.t_end))
        found.append(evidence)
    return found


def _sequence(labels: Int, by_time: bool) -> list[str]:
    """Steps in order; windows of one run count once."""
    steps = [str(i) for i in labels]
    if not by_time:
        return steps
    return [s for i, s in enumerate(steps) if i == 0 or s != steps[i - 1]]


def _texts(recordings: Sequence[Recording], steps: Steps, order: Sequence[int]) -> list[str]:
    """A name for each step: the commonest text of its segments, else its number."""
    texts: dict[int, Counter[str]] = {k: Counter() for k in order}
    for recording, labels in zip(recordings, steps.labels, strict=True):
        for moment, label in zip(recording.moments, labels, strict=True):
            if moment.span.text:
                texts[int(label)][moment.span.text] += 1
    names: list[str] = []
    for number, k in enumerate(order, start=1):
        text = texts[k].most_common(1)[0][0] if texts[k] else f"step {number}"
        names.append(text if text not in names else f"{text} ({number})")
    return names


def _durations(
    recordings: Sequence[Recording], labels: Sequence[Int], count: int, by_time: bool
) -> Float64:
    """(K, 2) mean and spread of ln(seconds), the spread shrunk to that of all steps."""
    logs: list[list[float]] = [[] for _ in range(count)]
    for recording, of in zip(recordings, labels, strict=True):
        spans = [m.span for m in recording.moments]
        first = 0
        for i in range(len(spans)):
            if by_time and i + 1 < len(spans) and of[i + 1] == of[i]:
                continue
            logs[int(of[i])].append(float(np.log(spans[i].t_end - spans[first].t_start)))
            first = i + 1
    means = np.array([np.mean(values) for values in logs])
    squares = np.array([np.sum((np.array(v) - np.mean(v)) ** 2) for v in logs])
    freedom = np.array([len(v) - 1 for v in logs])
    pooled = squares.sum() / freedom.sum() if freedom.sum() else DEFAULT_LOG_SPREAD**2
    spread = np.sqrt((squares + SHRINKAGE * pooled) / (freedom + SHRINKAGE))
    return np.column_stack([means, np.maximum(spread, LEAST_LOG_SPREAD)])
