"""What correct work looks like to a model that has not seen it, and the threshold that follows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from egomon.branches.base import Float32, Float64
from egomon.branches.taught_model import Evidence, TaughtModel
from egomon.branches.taught_surprise import EXTRAPOLATION, KINDS, TAIL_SHARE, surprise
from egomon.train.teach.moments import Recording


def nulls_of(judged: Sequence[Evidence]) -> dict[str, Float64]:
    """Evidence on left-out correct segments, ascending, by `NULLS`."""
    nulls = {kind: np.sort([e.values[kind] for e in judged]) for kind in KINDS[1:]}
    return nulls | {
        name: np.sort([e.values["look"] for e in judged if e.early is early])
        for name, early in (("look", False), ("early", True))
    }


def guessed_nulls(model: TaughtModel) -> dict[str, Float64]:
    """One recording says nothing about how correct work varies: a documented guess.

    Same steps of two recordings lie about 0.7 +- 0.15 as far apart as different steps do
    (CaptainCook4D); durations are log-normal.
    """
    many = max(10, len(model.steps))
    distances = pairwise(model)
    apart = distances[~np.eye(len(distances), dtype=bool)]
    typical = float(np.median(apart)) if len(apart) else 1.0
    shares = (np.arange(many) + 0.5) / many
    # Quantiles of a logistic distribution: close to a normal one, with heavier tails.
    bell = np.log(shares / (1 - shares)) / 1.7
    return {
        "look": typical * (0.7 + 0.15 * bell),
        "early": typical * (0.8 + 0.2 * bell),
        "missing": np.linspace(0.0, 0.3, many),
        "repeated": np.linspace(0.0, 0.3, many),
        "time": np.sort(np.abs(bell)),
    }


def handling_null(recordings: Sequence[Recording]) -> Float64:
    """The base's log odds on correct work: they do not depend on what is taught, so all count.

    Empty where no base judges, which then never surprises.
    """
    values = np.sort([m.handling for r in recordings for m in r.moments])
    return values if values.any() else np.empty(0)


def none_distance(model: TaughtModel, nulls: dict[str, Float64]) -> float:
    """Halfway from the farthest correct look to the typical distance of different steps."""
    apart = pairwise(model)[model.steps[:, None] != model.steps[None]]
    farthest = max((float(nulls[n][-1]) for n in ("look", "early") if len(nulls[n])), default=0.0)
    typical = float(np.median(apart)) if len(apart) else farthest + 1.0
    return farthest + max(0.0, typical - farthest) / 2


def pairwise(model: TaughtModel) -> Float32:
    """(E, E) half squared distances of the exemplars."""
    lengths = (model.looks**2).sum(axis=1)
    distances: Float32 = (lengths[:, None] + lengths[None]) / 2 - model.looks @ model.looks.T
    return distances


def threshold_for(scores: Float64, allowed: float, nulls: dict[str, Float64]) -> float:
    """Score that correct work of this length reaches `allowed` times.

    Above the upper fifth of the scores an exponential tail is fitted, so that budgets below one
    alarm in all recordings can be met. Without scores (one recording) the threshold is what one
    kind of evidence reaches at its most.
    """
    if not len(scores):
        return max(surprise(np.inf, null) for null in nulls.values()) - EXTRAPOLATION
    wanted = allowed / len(scores)
    edge = float(np.quantile(scores, 1 - TAIL_SHARE))
    if wanted >= TAIL_SHARE:
        return float(np.quantile(scores, max(0.0, 1 - wanted)))
    excess = scores[scores > edge] - edge
    scale = float(excess.mean()) if len(excess) else 0.5
    return edge + scale * float(np.log(TAIL_SHARE / max(wanted, 1e-6)))


def _ramp(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))
