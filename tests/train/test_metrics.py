"""Metrics against scikit-learn, published rows and cases worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from sklearn import metrics as sk

from egomon.errors import DataError
from egomon.train.metrics.calibration import brier, ece, reliability
from egomon.train.metrics.curves import aurc, pr_auc, pr_curve, roc_auc, roc_curve
from egomon.train.metrics.events import AlertTime, evaluate_events
from egomon.train.metrics.segmental import ScoredFrames, eda, micro_auc
from egomon.train.metrics.threshold import Confusion, holoassist_f

PUBLISHED = [
    (0.97, 0.72, 0.11, 0.62, 0.598, 0.507),
    (0.97, 0.60, 0.08, 0.63, 0.566, 0.442),
    (0.95, 0.93, 0.06, 0.09, 0.507, 0.506),
    (0.96, 0.91, 0.11, 0.21, 0.547, 0.539),
    (0.96, 0.86, 0.09, 0.26, 0.542, 0.520),
]


def scored(seed: int, *, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    y = (generator.random(300) < 0.2).astype(np.int64)
    score = np.clip(generator.normal(0.4 + 0.15 * y, 0.2), 0, 1)
    return y, np.round(score, 1) if ties else score


@pytest.mark.parametrize(("p_c", "r_c", "p_m", "r_m", "f", "_macro"), PUBLISHED)
def test_holoassist_f_gives_the_published_rows(
    p_c: float, r_c: float, p_m: float, r_m: float, f: float, _macro: float
) -> None:
    assert round(holoassist_f(p_c, r_c, p_m, r_m), 3) == f


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_curves_equal_scikit_learn(seed: int, ties: bool) -> None:
    y, score = scored(seed, ties=ties)
    assert roc_auc(y, score) == pytest.approx(sk.roc_auc_score(y, score), abs=1e-12)
    assert pr_auc(y, score) == pytest.approx(sk.average_precision_score(y, score), abs=1e-12)
    false_rate, true_rate, _ = roc_curve(y, score)
    expected = sk.roc_curve(y, score, drop_intermediate=False)
    assert np.allclose(false_rate, expected[0])
    assert np.allclose(true_rate, expected[1])
    precision, recall, _ = pr_curve(y, score)
    p, r, _ = sk.precision_recall_curve(y, score)
    assert np.allclose(precision[::-1], p[:-1])
    assert np.allclose(recall[::-1], r[:-1])


@pytest.mark.parametrize("seed", range(4))
def test_threshold_scores_equal_scikit_learn(seed: int) -> None:
    y, score = scored(seed, ties=False)
    flagged = score >= 0.5
    ours = Confusion.of(y, flagged)
    p, r, f, _ = sk.precision_recall_fscore_support(y, flagged, labels=[0, 1], zero_division=0)
    assert [ours.correct_precision, ours.mistake_precision] == pytest.approx(list(p))
    assert [ours.correct_recall, ours.mistake_recall] == pytest.approx(list(r))
    assert ours.macro_f1 == pytest.approx(f.mean())
    assert brier(y, score) == pytest.approx(sk.brier_score_loss(y, score))


def test_one_right_alert_and_silence_games_the_holoassist_f() -> None:
    y = np.array([1] * 6_000 + [0] * 118_438)
    flagged = np.zeros(len(y), dtype=bool)
    flagged[0] = True
    assert Confusion.of(y, flagged).holoassist_f == pytest.approx(0.661, abs=1e-3)


def test_areas_of_one_class_are_undefined_not_wrong() -> None:
    assert math.isnan(roc_auc(np.zeros(4, np.int64), np.arange(4.0)))
    assert math.isnan(pr_auc(np.ones(4, np.int64), np.arange(4.0)))


def test_calibration_error_sees_overconfidence_in_bins_of_equal_mass() -> None:
    y = np.array([0, 1] * 500)
    assert ece(y, np.full(1000, 0.5)) < 0.02
    assert ece(y, np.full(1000, 0.9)) == pytest.approx(0.4)
    bins = reliability(y, np.linspace(0, 1, 1000), bins=10)
    assert [b.count for b in bins] == [100] * 10


def test_risk_coverage_of_silence_is_the_share_of_mistakes() -> None:
    y = np.array([0] * 19 + [1])
    assert aurc(y, np.zeros(20)) == pytest.approx(1 / 20 / 20)
    assert aurc(y[::-1].copy(), np.zeros(20)) > 0.15


@dataclass(frozen=True)
class Span:
    recording: str
    start: float
    end: float
    label: int
    tags: tuple[str, ...] = ()


SPANS = [
    Span("a", 10, 14, 1, ("order",)),
    Span("a", 20, 24, 0),
    Span("a", 30, 34, 1, ("technique", "order")),
    Span("b", 5, 9, 0),
]


def test_alerts_are_matched_to_the_earliest_open_mistake() -> None:
    alerts = [AlertTime("a", t) for t in (12.0, 13.0, 22.0, 39.0)] + [AlertTime("b", 6.0)]
    report = evaluate_events(alerts, SPANS, hours=0.5)
    assert (report.matched, report.duplicates, report.false_alarms) == (2, 1, 2)
    assert (report.precision, report.recall) == (0.5, 1.0)
    assert report.false_alarms_per_hour == 4.0
    assert report.delay_seconds_median == pytest.approx((2 + 9) / 2)
    assert report.by_tag == {"order": 1.0, "technique": 1.0}
    assert evaluate_events(alerts, SPANS, 0.5, strict=True).false_alarms == 3


def test_an_alert_counts_from_one_second_before_to_the_tolerance_after() -> None:
    def matched(t: float, tolerance: float = 5.0) -> int:
        return evaluate_events(
            [AlertTime("a", t)], SPANS[:1], 1.0, tolerance_seconds=tolerance
        ).matched

    assert [matched(t) for t in (8.9, 9.0, 19.0, 19.1)] == [0, 1, 1, 0]
    assert matched(14.5, tolerance=0.0) == 0


def test_silence_has_no_delay_and_no_precision() -> None:
    report = evaluate_events([], SPANS, hours=1.0)
    assert (report.f1, report.precision, report.recall) == (0.0, 0.0, 0.0)
    assert report.delay_seconds_median is None
    assert set(report.to_json()) >= {
        "event_f1",
        "event_precision",
        "event_recall",
        "false_alarms_per_hour",
        "delay_seconds_median",
        "by_tag",
    }


def test_eda_asks_for_one_frame_of_a_mistake_and_none_of_a_correct_segment() -> None:
    frames = ScoredFrames(
        score=np.array([0.0, 0.9, 0.0, 0.2, 0.0]),
        label=np.array([1, 1, 0, 0, 0]),
        segment=np.array([0, 0, 1, 1, 2]),
    )
    assert eda([frames], np.array([0.5])) == 1.0
    assert eda([frames], np.array([0.1])) == pytest.approx(2 / 3)
    assert eda([frames], np.array([0.95])) == pytest.approx(2 / 3)
    assert micro_auc([frames], np.linspace(-2, 2, 41)) > 0.4


Y = np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    "metric",
    [
        *(roc_auc, pr_auc, roc_curve, pr_curve, aurc, brier, ece, reliability),
        lambda y, score: eda([ScoredFrames(score, y, np.zeros(4, np.int64))]),
        lambda y, score: micro_auc([ScoredFrames(score, y, np.zeros(4, np.int64))]),
    ],
)
def test_a_score_that_is_nan_is_refused_by_every_metric(metric: Callable[..., object]) -> None:
    with pytest.raises(DataError, match="1 of 4 scores are NaN"):
        metric(Y, np.array([0.1, 0.9, np.nan, 0.5]))


def test_infinite_scores_tie_like_others() -> None:
    both = np.array([np.inf, np.inf, -np.inf, -np.inf])
    assert roc_auc(Y, both) == 0.5
    assert pr_auc(Y, both) == 0.5
    assert roc_auc(Y, -both) == 0.5


def test_without_any_score_a_metric_is_nan() -> None:
    none, y = np.empty(0), np.empty(0, np.int64)
    assert all(math.isnan(metric(y, none)) for metric in (roc_auc, pr_auc, aurc, brier, ece))
    assert reliability(y, none) == []
