"""From grouped moments to a model and its graphs, and a model's view of a whole recording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from egomon.branches.interfaces import Float32, Float64, StepGuess, StepSeen
from egomon.branches.taught.anomaly_score import NULLS
from egomon.branches.taught.descriptor import unit
from egomon.branches.taught.model import ModelOptions, SegmentEvidence, TaughtModel, judge
from egomon.branches.taught.step_filter import History
from egomon.branches.taught.step_likelihood import Reading
from egomon.branches.taught.transitions import Rules
from egomon.branches.taught.workflow_graph import WorkflowGraph
from egomon.train.teach.one_class.discover import Int, Steps
from egomon.train.teach.one_class.segment_features import SegmentedRecording
from egomon.train.teach.one_class.workflows import agree, group_recordings

PLACE_WEIGHT = 2.0
"""Of places where steps are not recognised; with 0, 1, 2 the look's AUC on CaptainCook4D is .57,
.60, .62. Where steps are recognised well their order says it better, and places are left out."""
DEFAULT_LOG_SPREAD = 0.5
"""Of ln(duration), where one recording shows each step once."""
LEAST_LOG_SPREAD = 0.2
"""No step's duration is known to better than about 20 %."""
SHRINKAGE = 3.0
"""Segments that the spread of all steps' durations counts for in each step's own."""


@dataclass(frozen=True, slots=True, eq=False)
class Account:
    """What happened in each recording: steps by number, and which looks to trust."""

    labels: tuple[Int, ...]
    """For each recording (moments,) index of the step."""
    seen: tuple[Int, ...]
    """The same as it looked; differs from `labels` where the look misled."""
    workflows: Int
    """(R,) workflow of each recording."""
    count: int
    """Number of steps."""


@dataclass(frozen=True, slots=True)
class TeachOptions:
    """How looks are read; fitted on left-out recordings."""

    reading: Reading = field(default_factory=Reading)
    place_weight: float = PLACE_WEIGHT
    order_trust: float = 0.0
    opening_sharpness: float = 0.0


def account_for(steps: Steps, *, by_time: bool) -> Account:
    """Workflows of the recordings, and labels on which those of one workflow agree."""
    runs = [_runs(of) if by_time else np.arange(len(of)) for of in steps.labels]
    firsts = [np.unique(run, return_index=True)[1] for run in runs]
    orders = [of[first] for of, first in zip(steps.labels, firsts, strict=True)]
    workflows = group_recordings(orders)
    right = [of[run] for of, run in zip(agree(orders, workflows), runs, strict=True)]
    kept = np.unique(np.concatenate(right))
    labels = tuple(np.searchsorted(kept, of) for of in right)
    seen = tuple(
        np.where(was == now, new, -1)
        for was, now, new in zip(steps.labels, right, labels, strict=True)
    )
    return Account(labels, seen, workflows, len(kept))


def build(
    recordings: Sequence[SegmentedRecording],
    steps: Steps,
    *,
    name: str,
    by_time: bool,
    settings: TeachOptions,
) -> tuple[TaughtModel, tuple[WorkflowGraph, ...]]:
    """Model without nulls and threshold, and the graphs by the count rule."""
    account = account_for(steps, by_time=by_time)
    orders = [_sequence(labels, by_time) for labels in account.labels]
    order = [int(i) for i in WorkflowGraph.learn(orders).ids]
    ids = {old: f"step-{new}" for new, old in enumerate(order, start=1)}
    texts = _texts(recordings, account, order)
    names = {ids[old]: text for old, text in zip(order, texts, strict=True)}
    graphs = tuple(
        WorkflowGraph.learn(
            [[ids[int(i)] for i in orders[int(r)]] for r in np.flatnonzero(account.workflows == w)],
            name=name if account.workflows.max() == 0 else f"{name} {w + 1}",
            names=names,
        )
        for w in range(int(account.workflows.max()) + 1)
    )
    rank = np.empty(account.count, dtype=np.int64)
    rank[order] = np.arange(account.count)
    trusted = np.concatenate(account.seen) >= 0
    sizes = [r.seconds if by_time else len(r.moments) for r in recordings]
    model = TaughtModel(
        ids=tuple(ids[old] for old in order),
        looks=np.stack([m.look for r in recordings for m in r.moments])[trusted],
        steps=rank[np.concatenate(account.labels)][trusted],
        places=np.concatenate(steps.places)[trusted],
        log_seconds=_durations(recordings, [rank[of] for of in account.labels], by_time),
        openings=_openings(recordings, account.workflows),
        nulls={kind: np.empty(0) for kind in NULLS},
        options=ModelOptions(
            typical_segments=float(np.median(sizes)),
            **asdict(settings.reading),
            place_weight=settings.place_weight,
            order_trust=settings.order_trust,
            opening_sharpness=settings.opening_sharpness,
            threshold=0.0,
            by_time=by_time,
        ),
    )
    return model, graphs


def history_of(model: TaughtModel, graphs: Sequence[WorkflowGraph]) -> History:
    """Follows the graphs, with nothing seen yet."""
    rules = [Rules.of(graph, model.ids) for graph in graphs]
    return History(rules, model.ids, by_time=model.options.by_time)


def replay(
    model: TaughtModel, graphs: Sequence[WorkflowGraph], recording: SegmentedRecording
) -> list[SegmentEvidence]:
    """Judge a recording's segments one after the other, as a live segment scorer does."""
    history = history_of(model, graphs)
    seen: list[StepSeen] = []
    found = []
    for moment in recording.moments:
        evidence = judge(
            model,
            history,
            moment.look,
            seen=seen,
            t_start=moment.span.t_start,
            t_end=moment.span.t_end,
            workflow_start=recording.start,
            background_frames=moment.background_frames,
            opening=moment.opening,
            handling=moment.handling,
        )
        step = model.ids[evidence.step]
        guess = StepGuess(step, step, evidence.confidence, evidence.shares, evidence.excess)
        seen.append(StepSeen(guess, moment.span.t_start, moment.span.t_end))
        found.append(evidence)
    return found


def _runs(labels: Int) -> Int:
    """(M,) number of the run of equal labels that each moment is in."""
    return np.concatenate([[0], np.cumsum(np.diff(labels) != 0)]).astype(np.int64)


def _sequence(labels: Int, by_time: bool) -> list[str]:
    """Steps in order; windows of one run count once."""
    steps = [str(i) for i in labels]
    if not by_time:
        return steps
    return [s for i, s in enumerate(steps) if i == 0 or s != steps[i - 1]]


def _texts(
    recordings: Sequence[SegmentedRecording], account: Account, order: Sequence[int]
) -> list[str]:
    """A name for each step: the commonest text of its segments, else its number."""
    texts: dict[int, Counter[str]] = {k: Counter() for k in order}
    for recording, labels in zip(recordings, account.seen, strict=True):
        for moment, label in zip(recording.moments, labels, strict=True):
            if moment.span.text and label >= 0:
                texts[int(label)][moment.span.text] += 1
    names: list[str] = []
    for number, k in enumerate(order, start=1):
        text = texts[k].most_common(1)[0][0] if texts[k] else f"step {number}"
        names.append(text if text not in names else f"{text} ({number})")
    return names


def _openings(recordings: Sequence[SegmentedRecording], workflows: Int) -> Float32:
    """(W, D) mean opening of each workflow's recordings; (W, 0) where one has none."""
    found = []
    for w in range(int(workflows.max()) + 1):
        own = [r.moments[0].opening for r, of in zip(recordings, workflows, strict=True) if of == w]
        shown = [opening for opening in own if opening is not None]
        if not shown:
            return np.zeros((int(workflows.max()) + 1, 0), np.float32)
        found.append(unit(np.mean(shown, axis=0)))
    return np.stack(found)


def _durations(
    recordings: Sequence[SegmentedRecording], labels: Sequence[Int], by_time: bool
) -> Float64:
    """(K, 2) mean and spread of ln(seconds), the spread shrunk to that of all steps."""
    count = 1 + max(int(of.max()) for of in labels)
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
