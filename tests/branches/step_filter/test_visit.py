from __future__ import annotations

from egomon.branches.step_filter.visit import AWAY_SECONDS, StepVisit


def seen(steps: str) -> StepVisit:
    """After so many half seconds, one digit each."""
    visit = StepVisit()
    for step in steps:
        visit.see(int(step), moving=True)
    return visit


def test_a_moment_of_another_step_belongs_to_the_step_and_is_not_counted() -> None:
    assert (visit := seen("1111" + "22" + "1111")).step == 1
    assert visit.seconds == 4.0


def test_another_step_counts_from_its_first_window_once_it_is_no_moment() -> None:
    long_enough = int(2 * AWAY_SECONDS) + 1
    visit = seen("1111" + "2" * long_enough)
    assert (visit.step, visit.seconds) == (2, long_enough / 2)
