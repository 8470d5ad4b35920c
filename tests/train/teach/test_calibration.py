"""Options of a taught model by number of recordings, and the counts that its report gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from made_work import frames_of
from scipy.stats import chi2

from egomon.train.features.recording import RecordingVectors
from egomon.train.teach.step_filter.calibration import (
    LeftOutCounts,
    poisson_upper,
    threshold_for,
)
from egomon.train.teach.step_filter.follow import FollowedWorkflow, teach_steps
from egomon.train.teach.step_filter.made_mistakes import made_runs


@pytest.fixture(scope="module")
def taught() -> dict[int, FollowedWorkflow]:
    runs = [RecordingVectors(f"r{seed}", *frames_of("abcde", seed)) for seed in range(3)]
    return {many: teach_steps(runs[:many], count=5) for many in (1, 2, 3)}


@pytest.mark.parametrize("count", [0, 1, 3, 12, 60])
@pytest.mark.parametrize("sure", [0.95, 0.5])
def test_the_upper_bound_of_a_rate_is_that_of_the_chi_squared_distribution(
    count: int, sure: float
) -> None:
    assert poisson_upper(count, sure) == pytest.approx(chi2.ppf(sure, 2 * count + 2) / 2)


def test_the_bound_an_hour_is_infinite_where_nothing_was_judged(
    taught: dict[int, FollowedWorkflow],
) -> None:
    options = taught[1].model.options
    assert LeftOutCounts(options).most_an_hour == math.inf
    counted = LeftOutCounts(options, false_alarms=3, hours=0.5)
    assert counted.most_an_hour == pytest.approx(poisson_upper(3) / 0.5)
    assert taught[1].report.most_an_hour is None


def test_half_the_budget_asks_for_twice_the_odds_but_never_below_even_ones() -> None:
    def odds(budget: float) -> float:
        p = threshold_for(budget)
        return p / (1 - p)

    assert odds(3.0) == pytest.approx(2 * odds(6.0)) == pytest.approx(8.0)
    assert threshold_for(24.0) == threshold_for(1000.0) == 0.5
    assert threshold_for(0.0) == threshold_for(0.01) < 1.0


def test_one_recording_counts_nothing_and_more_are_judged_by_the_others(
    taught: dict[int, FollowedWorkflow],
) -> None:
    assert (taught[1].report.made, taught[1].report.judged_hours) == (0, 0.0)
    assert taught[1].report.step_agreement is None
    two, three = taught[2].report, taught[3].report
    assert (two.made, three.made) == (12, 18), "six mistakes of each recording"
    assert 0 <= two.found <= two.made
    assert three.step_agreement == pytest.approx(1.0, abs=0.1)


def test_the_judged_time_is_that_of_each_run_with_and_without_its_mistake(
    taught: dict[int, FollowedWorkflow],
) -> None:
    alone = 3 * 40.0 / 3600
    assert taught[3].report.judged_hours > 4 * alone, "once as it is, and six times with a mistake"
    assert taught[3].report.judged_hours < 8 * alone


def parts(labels: np.ndarray) -> list[int]:
    """Labels at each change, in order."""
    return [int(labels[0]), *labels[1:][np.diff(labels) != 0].tolist()]


@pytest.mark.parametrize("seed", range(8))
def test_made_mistakes_leave_out_swap_repeat_and_put_in(seed: int) -> None:
    labels = np.repeat(np.arange(6), 5)
    own = np.concatenate([labels[:, None], np.full((30, 1), 100)], axis=1).astype(np.float32)
    one, two, swap, again, foreign, long = made_runs(own, labels, seed)
    orders = [parts(run.windows[:, 0]) for run in (one, two, swap, again)]
    assert [len(order) for order in orders] == [5, 4, 6, 7]
    assert orders[0] == sorted(orders[0])
    assert orders[1] == sorted(orders[1])
    assert (orders[0][0], orders[0][-1], orders[1][-1]) == (0, 5, 5), "the ends stay"
    assert sorted(orders[2]) == list(range(6)) != orders[2]
    assert sorted(set(orders[3])) == list(range(6))
    put_in = foreign.windows[foreign.onset : foreign.end]
    rest = np.delete(foreign.windows, slice(foreign.onset, foreign.end), axis=0)
    np.testing.assert_array_equal(rest, own)
    assert len(put_in) == 24
    goes_on = long.windows[long.onset - 1 : long.end, 0]
    assert len(set(goes_on)) == 1, "one step goes on"
    assert parts(long.windows[:, 0]) == list(range(6))
    for run in (one, two, swap, again, foreign):
        before, wrong = run.windows[run.onset - 1, 0], run.windows[run.onset, 0]
        assert run.onset % 5 == 0
        assert wrong != before + 1 or run is foreign, "a mistake begins at its onset"


@pytest.mark.parametrize(("steps", "made"), [(2, 0), (3, 2), (4, 5), (5, 6)])
def test_short_work_has_fewer_kinds_of_mistakes(steps: int, made: int) -> None:
    labels = np.repeat(np.arange(steps), 4)
    assert len(list(made_runs(np.ones((4 * steps, 3), np.float32), labels))) == made


def test_the_seed_chooses_the_places() -> None:
    labels = np.repeat(np.arange(8), 3)
    own = np.arange(24, dtype=np.float32)[:, None]
    first, again, other = ([run.onset for run in made_runs(own, labels, s)] for s in (0, 0, 1))
    assert first == again != other
