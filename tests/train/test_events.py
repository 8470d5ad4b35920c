import pytest
from hypothesis import given
from hypothesis import strategies as st

from egomon.train.events import Mistake, evaluate_events, match_alerts


def test_precision_recall_and_false_alarms_count_what_they_say() -> None:
    report = evaluate_events(
        [
            ([5.0, 30.0], [Mistake(3.0, 6.0, ("drop",)), Mistake(50.0, 55.0, ("order",))]),
            ([2.0], []),
        ],
        hours=0.5,
    )
    assert (report.found, report.false_alarms, report.mistakes) == (1, 2, 2)
    assert report.precision == pytest.approx(1 / 3)
    assert report.recall == 0.5
    assert report.f1 == pytest.approx(0.4)
    assert report.false_alarms_per_hour == 4.0
    assert report.delay_seconds_median == 2.0
    assert report.by_tag["drop"].recall == 1.0
    assert report.by_tag["order"].recall == 0.0


def test_a_second_alert_for_the_same_mistake_is_a_duplicate_not_a_false_alarm() -> None:
    report = evaluate_events([([4.0, 5.0], [Mistake(3.0, 6.0)])], hours=1.0)
    assert (report.duplicates, report.false_alarms, report.precision) == (1, 0, 1.0)


def test_an_alert_takes_the_earliest_mistake_that_is_still_free() -> None:
    found, _ = match_alerts([7.0, 7.5], [Mistake(5.0, 8.0), Mistake(3.0, 6.0)])
    assert found == {1: 7.0, 0: 7.5}


def test_too_early_and_too_late_do_not_count() -> None:
    assert match_alerts([1.9, 11.1], [Mistake(3.0, 6.0)]) == ({}, 0)
    assert match_alerts([2.0], [Mistake(3.0, 6.0)])[0] == {0: 2.0}
    assert match_alerts([11.0], [Mistake(3.0, 6.0)])[0] == {0: 11.0}


def test_silence_has_no_precision_and_no_delay() -> None:
    report = evaluate_events([([], [Mistake(1.0, 2.0)])], hours=1.0)
    assert (report.precision, report.recall, report.f1) == (0.0, 0.0, 0.0)
    assert report.delay_seconds_median is None


@given(
    alerts=st.lists(st.floats(0, 100), max_size=20),
    starts=st.lists(st.floats(0, 100), max_size=10),
)
def test_every_alert_is_found_duplicate_or_false_and_no_mistake_counts_twice(
    alerts: list[float], starts: list[float]
) -> None:
    report = evaluate_events([(alerts, [Mistake(s, s + 2) for s in starts])], hours=1.0)
    assert report.found <= min(len(alerts), len(starts))
    assert report.false_alarms >= 0
    assert report.found + report.duplicates + report.false_alarms == len(alerts)
