import math

import pytest
from fakes import MeanGate, score
from segments import scored

from egomon.branches.bundle.card import Calibration, DecisionCard
from egomon.fusion.decision import CallBudget, Decider, probability


def test_calibration_is_a_temperature_and_a_prior_shift() -> None:
    calibration = Calibration(temperature=2.0, bias=-3.0)
    assert probability(4.0, calibration) == pytest.approx(1 / (1 + math.exp(1.0)))
    assert probability(-1e9, Calibration()) == 0.0
    assert probability(1e9, Calibration()) == 1.0


def test_small_and_fused_verdicts_have_thresholds_of_their_own() -> None:
    decider = Decider(DecisionCard(threshold_fused=0.6, threshold_small=0.9), MeanGate())
    small = decider.small(scored(0, 2.0))
    fused = decider.fused(scored(0, 2.0), score("large", 2.0))
    assert small.p_mistake == pytest.approx(fused.p_mistake)
    assert not small.is_hit
    assert fused.is_hit
    assert fused.gate_weights == (0.5, 0.5)
    assert small.gate_weights is None


def test_only_the_band_of_uncertain_scores_goes_to_the_large_branch() -> None:
    decider = Decider(DecisionCard(flag_low=0.1, flag_high=0.9), MeanGate())
    assert [decider.wants_large(scored(0, x)) for x in (-5.0, -1.0, 1.0, 5.0)] == [
        False,
        True,
        True,
        False,
    ]
    assert not decider.wants_large(scored(0, 1.0, out_of_domain=True))


def test_foreign_footage_is_never_a_hit() -> None:
    decider = Decider(DecisionCard(), MeanGate())
    assert decider.small(scored(0, 9.0)).is_hit
    assert not decider.small(scored(0, 9.0, out_of_domain=True)).is_hit


def test_the_call_budget_refills_with_media_time() -> None:
    budget = CallBudget(2.0)
    assert [budget.take(0.0) for _ in range(3)] == [True, True, False]
    assert budget.take(15.0) is False
    assert budget.take(31.0) is True
    assert all(CallBudget(None).take(0.0) for _ in range(100))
