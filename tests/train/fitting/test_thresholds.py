"""Calibration of held-out scores, and thresholds that keep to a budget of false alarms."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest
from feature_sets import ENCODER, workshop

from egomon.branches.bundle.card import (
    BundleCard,
    Calibration,
    DataCard,
    DecisionCard,
    GateCard,
    SmallCard,
    StreamCard,
)
from egomon.errors import DataError
from egomon.fusion.decision import probability
from egomon.train.evaluation.stage_scores import StageScores, decide_by_stage
from egomon.train.features.feature_set import DatasetCard, FeatureSet, Track
from egomon.train.features.rows import SegmentRow
from egomon.train.fitting.calibration import (
    budget_threshold,
    fit_calibration,
    probabilities,
    recall_at_budget,
)
from egomon.train.fitting.fitted_on import fingerprints, seen
from egomon.train.fitting.thresholds import decide
from egomon.train.fitting.trained import (
    FittedFusion,
    FittedModel,
    split_for_validation,
    spread_of_seeds,
)

P = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
Y = np.array([1, 0, 1, 0, 0, 1])


def held(labels: np.ndarray, hours: float = 1.0) -> FeatureSet:
    rows = tuple(
        SegmentRow(recording=f"r{k % 3}", start=float(k), end=k + 1.0, label=int(label))
        for k, label in enumerate(labels)
    )
    card = DatasetCard(name="x", licence="", encoder=ENCODER, fps=1.0, dim=16)
    empty = Track(np.zeros(0), np.zeros((0, 16), np.float32))
    each = {f"r{k}": hours / 3 for k in range(3)}
    return FeatureSet(card, rows, lambda name: empty, "here", hours=each)


def model(log_odds: np.ndarray, labels: np.ndarray, **changes: object) -> FittedModel:
    plain = FittedModel(SmallCard(), {}, held(labels), log_odds, "val", {})
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def scored(seed: int = 0, count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    y = (generator.random(count) < 0.2).astype(np.int64)
    return generator.normal(3.0 * y, 1.0), y


@pytest.mark.parametrize(
    ("hours", "per_hour", "flagged"),
    [
        (1.0, 0.0, [True, False, False, False, False, False]),
        (1.0, 0.9, [True, False, False, False, False, False]),  # not one whole
        (1.0, 1.0, [True, True, True, False, False, False]),
        (0.5, 4.0, [True, True, True, True, False, False]),
        (1.0, 3.0, [True] * 6),  # all correct ones may be flagged
    ],
)
def test_a_budget_is_the_lowest_threshold_that_keeps_it(
    hours: float, per_hour: float, flagged: list[bool]
) -> None:
    threshold = budget_threshold(P, Y, hours, per_hour)
    assert (threshold <= P).tolist() == flagged
    assert ((threshold <= P) & (Y == 0)).sum() <= max(per_hour * hours, 0)
    recall = recall_at_budget(P, Y, hours, per_hour)
    assert recall == pytest.approx((np.array(flagged) & (Y == 1)).sum() / 3)


def test_a_threshold_is_no_higher_than_one_though_correct_work_scores_as_much() -> None:
    sure = np.array([1.0, 1.0])
    assert budget_threshold(sure, np.array([0, 1]), 1.0, 0.0) == 1.0


def test_without_mistakes_there_is_nothing_to_recall() -> None:
    assert recall_at_budget(P, np.zeros(6, np.int64), 1.0, 6.0) == 0.0


def test_calibrated_probabilities_are_as_frequent_as_they_say() -> None:
    x, y = scored(count=4000)
    p = probabilities(x, fit_calibration(x, y))
    for low, high in ((0.0, 0.2), (0.2, 0.6), (0.6, 1.0)):
        inside = (p >= low) & (p < high)
        assert y[inside].mean() == pytest.approx(p[inside].mean(), abs=0.05)
    assert p.mean() == pytest.approx(y.mean(), abs=1e-3)


def test_the_unit_of_the_scores_does_not_matter() -> None:
    x, y = scored()
    wide, narrow = fit_calibration(1000 * x, y), fit_calibration(x, y)
    assert wide.temperature == pytest.approx(1000 * narrow.temperature, rel=1e-3)
    assert wide.bias == pytest.approx(narrow.bias, abs=1e-3)


def test_another_share_of_mistakes_in_use_shifts_the_odds_and_nothing_else() -> None:
    x, y = scored()
    plain, rare = fit_calibration(x, y), fit_calibration(x, y, prior=0.02)
    assert rare.temperature == plain.temperature
    share = float(y.mean())
    ratio = (0.02 / 0.98) / (share / (1 - share))
    assert np.exp(rare.bias - plain.bias) == pytest.approx(ratio)


def test_scores_that_point_the_wrong_way_are_flattened_not_turned_round() -> None:
    x, y = scored()
    turned = fit_calibration(-x, y)
    assert turned.temperature == pytest.approx(1000.0)
    p = probabilities(np.array([-5.0, 5.0]), turned)
    assert p[0] < p[1], "a higher score stays likelier"


def test_scores_that_never_differ_say_the_share_of_mistakes() -> None:
    y = np.array([0, 0, 0, 1])
    fitted = fit_calibration(np.zeros(4), y)
    assert probability(0.0, fitted) == pytest.approx(0.25, abs=1e-6)


def test_a_small_branch_alone_decides_by_its_own_threshold() -> None:
    x, y = scored()
    decision, scores = decide(model(x, y), 6.0)
    assert decision.threshold_small == decision.threshold_fused
    assert decision.false_alarms_per_hour == 6.0
    assert (scores.flagged & (y == 0)).sum() <= 6
    assert scores.flagged.tolist() == (scores.p >= decision.threshold_small).tolist()
    looser, _ = decide(model(x, y), 60.0)
    assert looser.threshold_small < decision.threshold_small
    assert decision.flag_low == DecisionCard().flag_low


def test_no_threshold_is_out_of_reach() -> None:
    x, y = np.array([-50.0, 50.0, 50.0, 60.0]), np.array([0, 0, 1, 1])
    assert decide(model(x, y), 0.001)[0].threshold_small <= 0.999


def fused_model(small: np.ndarray, gate: np.ndarray, y: np.ndarray) -> FittedModel:
    fusion = FittedFusion(GateCard(), 8, {}, held_log_odds=gate, held_large=gate / 2)
    return model(small, y, fused=fusion)


def test_each_stage_has_its_own_calibration_and_threshold() -> None:
    x, y = scored()
    sure = 4 * x + np.random.default_rng(1).normal(size=len(x))
    decision, scores = decide(fused_model(x, sure, y), 6.0)
    assert decision.calibration_fused.temperature > decision.calibration_small.temperature
    assert decision.threshold_fused != decision.threshold_small
    fused, at = scores.branches["fused"]
    assert at == decision.threshold_fused
    np.testing.assert_allclose(fused, probabilities(sure, decision.calibration_fused))
    large, _ = scores.branches["large"]
    np.testing.assert_allclose(large, probabilities(sure / 2, decision.calibration_fused))
    assert (fused >= at)[y == 0].sum() <= 6


def test_the_band_that_asks_the_large_branch_holds_nearly_all_mistakes() -> None:
    generator = np.random.default_rng(0)
    y = (np.arange(2000) < 20).astype(np.int64)  # rare: p is small throughout
    x = generator.normal(y * 0.5, 1.0)
    decision, scores = decide(fused_model(x, x, y), 6.0)
    small, _ = scores.branches["small"]
    assert decision.flag_low < DecisionCard().flag_low
    assert (small[y == 1] >= decision.flag_low).mean() == pytest.approx(0.95, abs=0.01)


def test_the_gate_decides_inside_the_band_and_the_small_branch_outside() -> None:
    card = DecisionCard(flag_low=0.3, flag_high=0.8, threshold_small=0.7, threshold_fused=0.2)
    small, fused = np.array([0.29, 0.3, 0.8, 0.81]), np.array([0.9, 0.1, 0.25, 0.0])
    scores = decide_by_stage(card, small, fused / 2, fused)
    assert scores.p.tolist() == [0.29, 0.1, 0.25, 0.81]
    assert scores.threshold.tolist() == [0.7, 0.2, 0.2, 0.7]
    assert scores.flagged.tolist() == [False, False, True, True]
    assert {name: at for name, (_, at) in scores.branches.items()} == {
        "small": 0.7, "large": 0.2, "fused": 0.2
    }  # fmt: skip
    assert scores.main_threshold == 0.2
    assert StageScores(P, np.full(6, 0.4)).main_threshold == 0.4


def test_a_calibration_is_a_temperature_and_a_bias() -> None:
    p = probabilities(np.array([0.0, 2.0]), Calibration(temperature=2.0, bias=-1.0))
    np.testing.assert_allclose(p, [1 / (1 + np.e), 0.5])


def test_the_spread_of_seeds_is_that_of_the_scores_which_decide() -> None:
    y = np.array([0, 0, 1, 1])
    good, bad = np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 2.0, 1.0, 3.0])
    told = spread_of_seeds([model(good, y), model(bad, y)])
    assert told["val/seeds"] == 2.0
    assert told["val/roc_auc_mean_of_seeds"] == pytest.approx((1.0 + 0.75) / 2)
    assert told["val/roc_auc_sd_of_seeds"] == pytest.approx(0.125)
    assert spread_of_seeds([fused_model(bad, good, y)])["val/roc_auc_mean_of_seeds"] == 1.0


def test_the_heads_saw_what_was_not_held_and_with_folds_all() -> None:
    data = workshop(4)
    part = dataclasses.replace(
        model(np.zeros(4), np.array([0, 1, 0, 1])), held=data.select(["rec01"])
    )
    assert part.fitted_recordings(data) == {"rec00", "rec02", "rec03"}
    folds = dataclasses.replace(part, how_held="cv")
    assert folds.fitted_recordings(data) == set(data.recordings)


def without_splits(data: FeatureSet) -> FeatureSet:
    rows = tuple(msgspec.structs.replace(row, split="") for row in data.segments)
    return dataclasses.replace(data, segments=rows)


def test_the_split_of_the_rows_is_taken_where_it_has_both_parts() -> None:
    fitted, kept = split_for_validation(workshop(12))
    assert {row.split for row in fitted.segments} == {"train"}
    assert {row.split for row in kept.segments} == {"val"}


def test_without_a_split_every_fifth_recording_of_each_kind_is_held() -> None:
    fitted, kept = split_for_validation(without_splits(workshop(14)))  # 7 with a mistake, 7 without
    assert kept.recordings == ["rec00", "rec01", "rec10", "rec11"]
    assert not set(fitted.recordings) & set(kept.recordings)
    assert len(fitted.recordings) + len(kept.recordings) == 14


def test_too_few_recordings_with_a_mistake_are_told() -> None:
    few = without_splits(workshop(3))  # one of them with a mistake
    with pytest.raises(DataError, match="3 recordings, 1 of them with a mistake"):
        split_for_validation(few)


def test_a_split_of_one_class_names_the_part() -> None:
    data = workshop(12)
    rows = tuple(
        msgspec.structs.replace(row, label=0 if row.split == "val" else row.label)
        for row in data.segments
    )
    with pytest.raises(DataError, match=r"of the validation recordings has label 0.*split out"):
        split_for_validation(dataclasses.replace(data, segments=rows))


def card_of(*fitted_on: str) -> BundleCard:
    """A bundle that was fitted on so many data sets."""
    return BundleCard(
        name="x",
        description="",
        created="",
        egomon_version="",
        licence="",
        frame_encoder=ENCODER,
        small=SmallCard(),
        stream=StreamCard(),
        data=tuple(DataCard(name="d", licence="", fitted_on=known) for known in fitted_on),
    )


def test_recordings_are_recognised_by_their_fingerprints() -> None:
    card = card_of(fingerprints(["a", "b"]), fingerprints(["c"]))
    assert seen(card, ["a", "c", "d"]) == 2
    assert seen(card_of(""), ["a"]) == 0
    assert len(fingerprints(["a", "b"])) == 16
