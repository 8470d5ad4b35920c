"""The one-class model behind a taught bundle: how steps look, when they come, how long they take.

Four kinds of evidence are measured on a segment: how far its look lies from every demonstrated
one, how badly it fits the order of the workflow, how unusual its duration is, and what the base
bundle says of the handling. Each becomes a surprise in nats, -ln of the share of correct segments
that are at least as extreme; those shares come from correct recordings judged by a model of the
others. The score is that of a mistake of one kind or another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from egomon.branches.interfaces import Float32, Float64, StepSeen
from egomon.branches.taught.anomaly_score import (
    Kind,
    carried,
    combine,
    excess_of,
    surprises_of,
    telling,
    weigh,
)
from egomon.branches.taught.step_filter import Breach, Break, History, Outcome, advance
from egomon.branches.taught.step_likelihood import Reading, half_squares

EARLY_FRAMES = 8
"""With fewer frames of background, looks are judged by those of other beginnings."""
OPENING_SLIP = 0.02
"""Share of openings that mislead altogether."""


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Numbers of a taught model; on the card under `small.options`."""

    typical_segments: float
    """Segments in a demonstration, median; with `by_time`, its seconds."""
    threshold: float
    """Score at which the probability is one half."""
    place_weight: float = 2.0
    """Distance that a shift by the whole workflow is worth."""
    sharpness: float = 20.0
    """See `Reading`."""
    none_distance: float = 1e6
    """See `Reading`."""
    slip: float = 0.02
    """See `Reading`."""
    beliefs: bool = False
    """See `Reading`."""
    opening_sharpness: float = 0.0
    """Slope from distance of openings to log likelihood of the workflow; 0 = they say nothing."""
    order_trust: float = 1.0
    """Weight of the order, 0 to 1, by how well steps are recognised."""
    by_time: bool = False
    """Place in the workflow by elapsed time instead of by counting segments (fixed windows)."""

    @property
    def reading(self) -> Reading:
        """How looks become likelihoods of steps."""
        return Reading(self.sharpness, self.none_distance, self.slip, self.beliefs)


@dataclass(frozen=True, slots=True, eq=False)
class TaughtModel:
    """Arrays learned from correct recordings: E exemplars, K steps, W workflows."""

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
    openings: Float32
    """(W, D') how each workflow's recordings look before their first segment; (W, 0) unknown."""
    nulls: dict[str, Float64]
    """Evidence on correct segments that the model had not seen, ascending."""
    options: ModelOptions


@dataclass(frozen=True, slots=True, eq=False)
class SegmentEvidence:
    """What the model sees in one segment."""

    step: int
    """Index of the likeliest step, in view of what came before."""
    confidence: float
    shares: tuple[float, ...]
    """(K + 1,) likelihood of the look under each step, the last for none of them."""
    place: float
    """Where in the workflow the segment comes, 0 to about 1."""
    values: dict[Kind, float]
    breaks: dict[Break, float]
    """ln of the Bayes factor of each way to break the order."""
    surprises: dict[Kind, float]
    score: float
    """ln of the likelihood ratio of a mistake, see `combine`, and what earlier segments add."""
    excess: float
    """What this segment adds to the next ones, see `excess_of`."""
    distance: float
    """To the nearest demonstrated look, whatever its place."""
    usual_place: float
    """Mean place of the likeliest step."""
    breach: Breach | None
    """The likeliest way in which the order would be broken."""
    workflow: int
    """Index of the likeliest workflow."""
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


def run_start(seen: Sequence[StepSeen], step: str, t_start: float, by_time: bool) -> float:
    """When the present run of a step began.

    Fixed windows cut one step into many segments: the newest ones of the same step are the same
    run. Segments by activity or from a file are each a step of their own.
    """
    end = len(seen)
    while by_time and end and seen[end - 1].step.id == step:
        end -= 1
    return seen[end].t_start if end < len(seen) else t_start


def judge(
    model: TaughtModel,
    history: History,
    look: Float32,
    *,
    seen: Sequence[StepSeen],
    t_start: float,
    t_end: float,
    workflow_start: float,
    background_frames: int,
    opening: Float32 | None = None,
    handling: float = 0.0,
) -> SegmentEvidence:
    """Measure one segment; pure.

    Args:
        model: the taught model.
        history: follows the workflow graphs, perhaps edited by the user.
        look: (D,) vector of the segment.
        seen: steps recognised since the workflow began, oldest first.
        t_start: media seconds.
        t_end: media seconds.
        workflow_start: media seconds at which the workflow began.
        background_frames: frames that the look could be compared with.
        opening: (D',) look of what was seen before the first segment; None = nothing.
        handling: log odds of a mistake by the base bundle's branch, where there is one.
    """
    options = model.options
    place = place_of(seen, t_start - workflow_start, options)
    distances = half_squares(model.looks, look)
    placed = distances + options.place_weight * np.abs(model.places - place)
    early = background_frames < EARLY_FRAMES
    reading = options.reading
    by_step = reading.by_step(distances, model.steps, len(model.ids))
    shares = reading.likelihoods(by_step)
    _, outcome = advance(
        history.rules,
        history.after(seen),
        shares.tolist(),
        by_time=options.by_time,
        workflow_weights=workflow_weights(model, opening),
    )
    step, confidence = _likeliest(outcome, by_step)
    run_seconds = max(t_end - run_start(seen, model.ids[step], t_start, options.by_time), 1e-3)
    mean, spread = model.log_seconds[step]
    late = (np.log(run_seconds) - mean) / spread
    values: dict[Kind, float] = {
        "look": float(placed.min()),
        "order": outcome.log_factor,
        # A window of an unfinished run says nothing about "too short".
        "time": float(max(late, 0.0) if options.by_time else abs(late)),
        "handling": handling,
    }
    breaks = outcome.log_factors
    surprises = surprises_of(values, breaks, model.nulls, early=early)
    parts = weigh(surprises, options.order_trust)
    kinds = outcome.by_kind()
    return SegmentEvidence(
        step=step,
        confidence=confidence,
        shares=tuple(shares.tolist()),
        place=place,
        values=values,
        breaks=breaks,
        surprises=surprises,
        score=combine(parts) + carried([item.step.excess for item in seen], options.order_trust),
        excess=excess_of(surprises, model.nulls),
        distance=float(distances.min()),
        usual_place=float(model.places[model.steps == step].mean()),
        breach=outcome.likeliest(max(kinds, key=lambda kind: kinds[kind])),
        workflow=max(outcome.workflows, key=lambda w: outcome.workflows[w]),
        main=max(telling(model.nulls), key=lambda kind: parts[kind]),
        early=early,
        run_seconds=run_seconds,
    )


def workflow_weights(model: TaughtModel, opening: Float32 | None) -> list[float]:
    """Likelihood of an opening under each workflow (W,), at most 1."""
    many = len(model.openings)
    if opening is None or not model.options.opening_sharpness:
        return [1.0] * many
    z = -model.options.opening_sharpness * (1.0 - model.openings @ opening)
    shares = np.exp(z - z.max())
    shares = (1 - OPENING_SLIP) * shares / shares.sum() + OPENING_SLIP / many
    weights: list[float] = (shares / shares.max()).tolist()
    return weights


def _likeliest(outcome: Outcome, by_step: Float64) -> tuple[int, float]:
    """The likeliest step in view of the order; the nearest one where it is none of them."""
    known = {step: weight for step, weight in outcome.steps.items() if step >= 0}
    best = max(known, key=lambda step: known[step])
    if outcome.steps.get(-1, 0.0) > known[best]:
        best = int(by_step.argmin())
    return best, known.get(best, 0.0)
