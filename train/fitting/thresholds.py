"""Calibration and thresholds of a new bundle, from scores on held segments."""

from __future__ import annotations

import numpy as np

from egomon.branches.bundle.card import Calibration, DecisionCard
from egomon.train.evaluation.stage_scores import StageScores, decide_by_stage
from egomon.train.fitting.calibration import budget_threshold, fit_calibration, probabilities
from egomon.train.fitting.trained import FittedModel
from egomon.train.metrics.curves import ScoreArray

# A threshold of 1 could never be reached, not even by a certain mistake.
_HIGHEST = 0.999
_FLAG_LOW = DecisionCard().flag_low
# Share of the mistakes that the small branch may keep from the large one.
_PASSED_BY = 0.05


def decide(trained: FittedModel, false_alarms_per_hour: float) -> tuple[DecisionCard, StageScores]:
    """Each stage gets its own calibration and its own threshold for the budget."""
    y, hours = trained.held.labels, trained.held.stream_hours()

    def stage(log_odds: ScoreArray) -> tuple[Calibration, ScoreArray, float]:
        calibration = fit_calibration(log_odds, y)
        p = probabilities(log_odds, calibration)
        return calibration, p, min(_HIGHEST, budget_threshold(p, y, hours, false_alarms_per_hour))

    calibration, small, at = stage(trained.held_log_odds)
    decision = DecisionCard(
        threshold_fused=at,
        threshold_small=at,
        calibration_small=calibration,
        calibration_fused=calibration,
        false_alarms_per_hour=false_alarms_per_hour,
    )
    if trained.fused is None:
        return decision, StageScores(small, np.full(len(small), at))
    fused_calibration, fused, fused_at = stage(trained.fused.held_log_odds)
    decision = DecisionCard(
        threshold_fused=fused_at,
        threshold_small=at,
        calibration_small=calibration,
        calibration_fused=fused_calibration,
        # Where mistakes are rare p is small throughout: the band must still hold most of them.
        flag_low=min(_FLAG_LOW, float(np.quantile(small[y == 1], _PASSED_BY))),
        false_alarms_per_hour=false_alarms_per_hour,
    )
    large = probabilities(trained.fused.held_large, fused_calibration)
    return decision, decide_by_stage(decision, small, large, fused)
