"""Calibration of log odds under the deployment prior, and thresholds for a budget."""

from __future__ import annotations

import numpy as np

from egomon.branches.bundle.card import Calibration
from egomon.fusion.decision import probability
from egomon.train.metrics.curves import ScoreArray
from egomon.train.metrics.threshold import Labels

# A bound for scores on which Newton does not settle.
_STEPS = 50
# Perfectly separated scores have no finite slope without it.
_RIDGE = 1e-3


def probabilities(log_odds: ScoreArray, calibration: Calibration) -> ScoreArray:
    """(S,) as a monitor computes them, one by one."""
    return np.array([probability(float(x), calibration) for x in log_odds])


def fit_calibration(log_odds: ScoreArray, y: Labels, prior: float | None = None) -> Calibration:
    """Platt scaling by Newton steps, on scores that the heads were not fitted on.

    Args:
        log_odds: (S,) held-out scores.
        y: (S,) labels.
        prior: share of mistakes in use, where it is not that of `y`; shifts the bias.

    >>> generator = np.random.default_rng(0)
    >>> y = (generator.random(4000) < 0.2).astype(np.int64)
    >>> fitted = fit_calibration(generator.normal(3.0 * y, 1.0), y)
    >>> abs(probability(1.5, fitted) - 0.2) < 0.03
    True
    """
    a, b = 1.0, 0.0
    scale = float(np.std(log_odds)) or 1.0
    x = log_odds / scale
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(a * x + b, -60, 60)))
        w, error = p * (1 - p), p - y
        gradient = np.array([(error * x).sum() + _RIDGE * (a - 1), error.sum()])
        cross = (w * x).sum()
        hessian = np.array([[(w * x * x).sum() + _RIDGE, cross], [cross, w.sum() + 1e-9]])
        step = np.clip(np.linalg.solve(hessian, gradient), -2, 2)
        a, b = a - float(step[0]), b - float(step[1])
        if abs(step).max() < 1e-9:
            break
    slope = max(a / scale, 1e-3)  # a reversed score is a bug elsewhere, never a calibration
    if prior is not None:
        b += _logit(prior) - _logit(float(y.mean()))
    return Calibration(temperature=1 / slope, bias=b)


def budget_threshold(p: ScoreArray, y: Labels, hours: float, per_hour: float) -> float:
    """Lowest threshold with at most `per_hour` flagged correct segments an hour.

    Above every correct segment's p if even one alarm is too many; never above 1.
    """
    correct = np.sort(p[y == 0])[::-1]
    allowed = int(per_hour * hours)
    if allowed >= len(correct):
        return float(p.min())
    return float(min(1.0, np.nextafter(correct[allowed], 2.0)))


def recall_at_budget(p: ScoreArray, y: Labels, hours: float, per_hour: float) -> float:
    """Share of mistakes flagged at the threshold of a budget."""
    wrong = p[y == 1]
    if not len(wrong):
        return 0.0
    return float((wrong >= budget_threshold(p, y, hours, per_hour)).mean())


def _logit(p: float) -> float:
    p = min(max(p, 1e-6), 1 - 1e-6)
    return float(np.log(p / (1 - p)))
