"""What correct work looks like to a model that has not seen it, and the threshold that follows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from egomon.branches.interfaces import Float32, Float64
from egomon.branches.taught.model import SegmentEvidence, TaughtModel
from egomon.branches.taught.step_filter import BREAKS
from egomon.train.teach.one_class.segment_features import SegmentedRecording

TAIL = 0.1
"""Upper share of the scores that tells how often correct work scores high; no budget is taken to
allow alerts on more."""


def nulls_of(judged: Sequence[SegmentEvidence]) -> dict[str, Float64]:
    """Evidence on left-out correct segments, ascending, by `NULLS`."""
    looks: dict[str, Float64] = {
        name: np.sort([e.values["look"] for e in judged if e.early is early])
        for name, early in (("look", False), ("early", True))
    }
    breaks: dict[str, Float64] = {
        kind: np.sort([e.breaks[kind] for e in judged]) for kind in BREAKS
    }
    return {**looks, **breaks, "time": np.sort([e.values["time"] for e in judged])}


def guessed_nulls(model: TaughtModel) -> dict[str, Float64]:
    """One recording says nothing about how correct work varies: a documented guess.

    Same steps of two recordings lie about 0.7 +- 0.15 as far apart as different steps do
    (CaptainCook4D); durations are log-normal, and the usual one is itself known from one only.
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
        **{kind: np.empty(0) for kind in BREAKS},
        "time": np.sort(np.sqrt(2.0) * np.abs(bell)),
    }


def handling_null(recordings: Sequence[SegmentedRecording]) -> Float64:
    """The base's log odds on correct work: they do not depend on what is taught, so all count.

    Empty where no base judges, which then never surprises.
    """
    values = np.sort([m.handling for r in recordings for m in r.moments])
    return values if values.any() else np.empty(0)


def pairwise(model: TaughtModel) -> Float32:
    """(E, E) half squared distances of the exemplars."""
    lengths = (model.looks**2).sum(axis=1)
    distances: Float32 = (lengths[:, None] + lengths[None]) / 2 - model.looks @ model.looks.T
    return distances


def threshold_for(scores: Float64, allowed: float, many: int) -> float:
    """Score that correct work of this length reaches `allowed` times.

    A score s is by construction exceeded with probability c e^-s, c about 1, so a budget below
    one alarm in all recordings needs no tail to be guessed from a handful of segments. What the
    scores add is c, from those above their upper tenth, with one more counted for safety.

    Args:
        scores: of left-out correct segments; may be empty.
        allowed: false alarms that the budget allows in all recordings together.
        many: segments in all recordings; of windows, the runs of one step.
    """
    expected = -float(np.log(min(allowed / many, TAIL)))
    if not len(scores):
        return expected
    edge = float(np.quantile(scores, 1 - TAIL))
    reached = (1 + int((scores > edge).sum())) / (1 + len(scores))
    return max(expected, expected + edge + float(np.log(reached)))
