"""Calibration of probabilities: Brier score, expected calibration error, reliability bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from egomon.train.metrics.curves import ScoreArray, check_scores
from egomon.train.metrics.threshold import Labels

# As is usual in the literature on calibration.
BINS = 15


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin of a reliability diagram."""

    mean_probability: float
    mistake_share: float
    count: int


def brier(y: Labels, probability: ScoreArray) -> float:
    """Mean of (p - y)^2; a constant prior pi scores pi (1 - pi). NaN without any score."""
    check_scores(probability)
    if len(y) == 0:
        return float("nan")
    return float(((probability - y) ** 2).mean())


def reliability(y: Labels, probability: ScoreArray, bins: int = BINS) -> list[Bin]:
    """Bins of equal mass: at 5 % mistakes, bins of equal width would nearly all be empty."""
    check_scores(probability)
    order = np.argsort(probability, kind="stable")
    return [
        Bin(float(probability[part].mean()), float(y[part].mean()), len(part))
        for part in np.array_split(order, min(bins, len(y)) or 1)
        if len(part)
    ]


def ece(y: Labels, probability: ScoreArray, bins: int = BINS) -> float:
    """Expected calibration error: sum of n_b / N |mean y - mean p| over bins of equal mass.

    NaN without any score.

    >>> ece(np.array([0, 1, 0, 1]), np.array([0.5, 0.5, 0.5, 0.5]), bins=1)
    0.0
    """
    if len(y) == 0:
        return float("nan")
    return sum(
        b.count / len(y) * abs(b.mistake_share - b.mean_probability)
        for b in reliability(y, probability, bins)
    )
