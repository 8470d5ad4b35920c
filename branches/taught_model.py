"""The one-class model behind a taught bundle: how steps look, when they come, how long they take.

Five kinds of evidence are measured on a segment. Each becomes a surprise, -ln of the share of
correct segments that are at least as extreme; the shares come from correct recordings judged by a
model of the others. The score is their weighted sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from egomon.branches.base import Float32, Float64, StepSeen
from egomon.branches.graph import WorkflowGraph
from egomon.branches.taught_surprise import KINDS, Kind, surprises_of, weigh

EARLY_FRAMES = 8
"""With fewer frames of background, looks are judged by those of other beginnings."""
TOLD_DISCOUNT = 0.5
"""How much of a missing step's weight is gone once a step has shown that it is missing."""
LEAST_ORDER_EVIDENCE = 0.25
"""Weaker hints of a missing or repeated step are recognition noise and count as none."""
SEEN_CONFIDENCE = 0.5
"""A demanded step recognised with less confidence does not count as seen in the reason."""


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Numbers of a taught model; on the card under `small.options`."""

    typical_segments: float
    """Segments in a demonstration, median; with `by_time`, its seconds."""
    sharpness: float
    """Slope from distance to confidence of the step."""
    threshold: float
    """Score at which the probability is one half."""
    place_weight: float = 2.0
    """Distance that a shift by the whole workflow is worth."""
    none_distance: float = 1e6
    """A look this far from every step is as likely none of them."""
    missing_trust: float = 1.0
    """Weight of a missing step, 0 to 1: a recogniser that errs finds gaps where there are none."""
    repeated_trust: float = 1.0
    """Weight of a repeated step, 0 to 1."""
    by_time: bool = False
    """Place in the workflow by elapsed time instead of by counting segments (fixed windows)."""


@dataclass(frozen=True, slots=True, eq=False)
class TaughtModel:
    """Arrays learned from correct recordings. E exemplars, K steps in the graph's order of ids."""

    ids: tuple[str, ...]
    """(K,) step ids."""
    looks: Float32
    """(E, D) looks of demonstrated segments."""
    steps: np.ndarray[tuple[int], np.dtype[np.int64]]
    """(E,) index of each exemplar's step."""
    places: Float64
    """(E,) place in its demonstration, 0 to 1."""
    log_seconds: Float64
    """(K, 2) mean and standard deviation of ln(duration)."""
    nulls: dict[str, Float64]
    """Evidence on correct segments that the model had not seen, ascending."""
    options: ModelOptions


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What the model sees in one segment."""

    step: int
    """Index of the likeliest step."""
    confidence: float
    place: float
    """Where in the workflow the segment comes, 0 to about 1."""
    values: dict[Kind, float]
    surprises: dict[Kind, float]
    score: float
    """Weighted sum of surprises."""
    distance: float
    """To the nearest demonstrated look, whatever its place."""
    usual_place: float
    """Mean place of the likeliest step."""
    missing: tuple[str, ...]
    """Steps demanded before it and not seen."""

    main: Kind
    """The kind that weighs most."""
    early: bool
    """The workflow had hardly begun."""
    run_seconds: float
    """How long the step has lasted by the end of this segment."""


def place_of(seen: Sequence[StepSeen], elapsed_seconds: float, options: ModelOptions) -> float:
    """Where in the workflow the next segment comes, as a share of a typical demonstration."""
    if options.by_time:
        return elapsed_seconds / options.typical_segments
    return (len(seen) + 0.5) / options.typical_segments


def absent_before(
    seen: Sequence[StepSeen], graph: WorkflowGraph
) -> tuple[dict[str, float], dict[str, float]]:
    """What was done, and what was already found missing.

    Returns:
        done: probability that each step was seen, 1 - prod(1 - confidence).
        told: probability that a step seen earlier has already shown that it is missing. Each
            omission counts in full once, and less at every later step.
    """
    done: dict[str, float] = {}
    told: dict[str, float] = {}
    for item in seen:
        step, confidence = item.step.id, item.step.confidence
        for a in graph.missing_before(step, ()):
            told[a] = max(told.get(a, 0.0), confidence * (1 - done.get(a, 0.0)))
        done[step] = 1 - (1 - done.get(step, 0.0)) * (1 - confidence)
    return done, told


def earlier_runs(seen: Sequence[StepSeen], step: str, by_time: bool) -> Sequence[StepSeen]:
    """What was seen before the present run of a step.

    Fixed windows cut one step into many segments: the newest ones of the same step are the same
    run. Segments by activity or from a file are each a step of their own.
    """
    end = len(seen)
    while by_time and end and seen[end - 1].step.id == step:
        end -= 1
    return seen[:end]


def judge(
    model: TaughtModel,
    graph: WorkflowGraph,
    look: Float32,
    *,
    seen: Sequence[StepSeen],
    t_start: float,
    t_end: float,
    workflow_start: float,
    background_frames: int,
    handling: float = 0.0,
) -> Evidence:
    """Measure one segment; pure.

    Args:
        model: the taught model.
        graph: its workflow graph, perhaps edited by the user.
        look: (D,) vector of the segment.
        seen: steps recognised since the workflow began, oldest first.
        t_start: media seconds.
        t_end: media seconds.
        workflow_start: media seconds at which the workflow began.
        background_frames: frames that the look could be compared with.
        handling: log odds of a mistake by the base bundle's branch, where there is one.
    """
    options = model.options
    place = place_of(seen, t_start - workflow_start, options)
    distances = look_distances(model, look)
    placed = distances + options.place_weight * np.abs(model.places - place)
    early = background_frames < EARLY_FRAMES
    step, confidence = _recognise(model, distances)
    id_ = model.ids[step]
    before = earlier_runs(seen, id_, options.by_time)
    done, told = absent_before(before, graph)
    run_start = seen[len(before)].t_start if len(before) < len(seen) else t_start
    mean, spread = model.log_seconds[step]
    run_seconds = max(t_end - run_start, 1e-3)
    late = (np.log(run_seconds) - mean) / spread
    found = graph.find(id_)
    absent = {
        a: (1 - done.get(a, 0.0)) * (1 - TOLD_DISCOUNT * told.get(a, 0.0))
        for a in graph.missing_before(id_, ())
    }
    values: dict[Kind, float] = {
        "look": float(placed.min()),
        "missing": _notable(confidence * max(absent.values(), default=0.0)),
        "repeated": 0.0
        if found is None or found.repeatable
        else _notable(confidence * done.get(id_, 0.0)),
        # A window of an unfinished run says nothing about "too short".
        "time": float(max(late, 0.0) if options.by_time else abs(late)),
        "handling": handling,
    }
    surprises = surprises_of(values, model.nulls, early=early)
    parts = weigh(
        surprises, missing_trust=options.missing_trust, repeated_trust=options.repeated_trust
    )
    return Evidence(
        step=step,
        confidence=confidence,
        place=place,
        values=values,
        surprises=surprises,
        score=sum(parts.values()),
        main=max(KINDS, key=lambda kind: parts[kind]),
        early=early,
        run_seconds=run_seconds,
        distance=float(distances.min()),
        usual_place=float(model.places[model.steps == step].mean()),
        missing=tuple(a for a, share in absent.items() if share > 1 - SEEN_CONFIDENCE),
    )


def look_distances(model: TaughtModel, look: Float32) -> Float32:
    """(E,) half the squared distance to each exemplar: 1 - cosine where both have length 1."""
    lengths = (model.looks**2).sum(axis=1) + float((look**2).sum())
    distances: Float32 = lengths / 2 - model.looks @ look
    return distances


def _notable(evidence: float) -> float:
    return evidence if evidence >= LEAST_ORDER_EVIDENCE else 0.0


def step_distances(model: TaughtModel, distances: Float32) -> Float64:
    """Distance to each step (K,): the mean over its two nearest exemplars."""
    result = np.empty(len(model.ids))
    for k in range(len(model.ids)):
        result[k] = np.sort(distances[model.steps == k])[:2].mean()
    return result


def _recognise(model: TaughtModel, distances: Float32) -> tuple[int, float]:
    """The nearest step and the softmax confidence in it, with "no step" as one more choice."""
    by_step = step_distances(model, distances)
    best = int(by_step.argmin())
    slope = model.options.sharpness
    weights = np.exp(-slope * (by_step - by_step[best]))
    none = np.exp(min(slope * (by_step[best] - model.options.none_distance), 700.0))
    return best, float(1 / (weights.sum() + none))
