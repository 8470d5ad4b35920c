import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from segments import scored

from egomon.branches.bundle.card import DecisionCard
from egomon.branches.interfaces import StepGuess
from egomon.fusion.decision import Decider, Verdict
from egomon.fusion.lifecycle import AlertLifecycle, AlertOrigin
from egomon.fusion.messages.types import AlertData

DECIDER = Decider(DecisionCard(), None)


def verdict(index: int, log_odds: float, **where: Any) -> Verdict:
    return DECIDER.small(scored(index, log_odds, **where))


def make(*, overlapping: bool = True, **card: Any) -> AlertLifecycle:
    count = itertools.count(1)
    return AlertLifecycle(
        AlertOrigin("cam", "tiny@0"),
        DecisionCard(**{"cooldown_seconds": 0.0, **card}),
        next_id=lambda: f"a-{next(count)}",
        overlapping=overlapping,
        idle_close_seconds=3.0,
    )


def run(lifecycle: AlertLifecycle, scores: list[float], **where: Any) -> list[AlertData]:
    out = []
    for index, value in enumerate(scores):
        out += lifecycle.apply(verdict(index, value, **where), mode="small-only")
    return out


def story(events: list[AlertData]) -> list[tuple[str, int, str]]:
    return [(e.alert_id, e.rev, e.phase) for e in events]


def test_overlapping_hits_are_one_alert_that_ends_when_the_score_falls() -> None:
    events = run(make(), [-5, 3, 3, 3, -5, -5])
    assert story(events) == [("a-1", 1, "new"), ("a-1", 2, "end")]
    assert events[0].media_opened == 3.0
    assert events[1].media_end == 5.0
    assert events[1].reason == "below_t_off"


def test_an_alert_names_the_steps_of_its_sentence_that_were_not_seen_until_it_says_another() -> (
    None
):
    card = {"consecutive": 1, "cooldown_seconds": 0.0}
    lifecycle = make(**card)
    (opened,) = lifecycle.apply(verdict(0, 0.1, missing_steps=("b", "c")), mode="full")
    assert (opened.severity, opened.missing_steps) == ("notice", ("b", "c"))
    (raised,) = lifecycle.apply(verdict(1, 9.0, missing_steps=("d",)), mode="full")
    assert (raised.reason, raised.missing_steps) == ("severity_raised", ("d",))
    (closed,) = lifecycle.close("shutdown")
    assert closed.missing_steps == ("d",)


def test_segments_that_do_not_overlap_are_one_event_each() -> None:
    lifecycle = make(overlapping=False)
    events = []
    for i, value in enumerate([3.0, 3.0, -5.0]):
        events += lifecycle.apply(verdict(i, value, start=5.0 * i), mode="full")
    assert story(events) == [
        ("a-1", 1, "new"),
        ("a-1", 2, "end"),
        ("a-2", 1, "new"),
        ("a-2", 2, "end"),
    ]


def test_an_alert_opens_only_after_enough_hits_unless_it_is_very_sure() -> None:
    card = {"consecutive": 2, "window": 3}
    assert run(make(**card), [3, -5, -5, -5]) == []
    assert [e.segment.id for e in run(make(**card), [3, -5, 3])] == [2]
    assert [e.segment.id for e in run(make(**card, threshold_high=0.99), [9])] == [0]


def test_a_score_between_off_and_on_keeps_an_alert_open_but_does_not_open_one() -> None:
    assert run(make(), [-0.2, -0.2]) == []
    lifecycle = make()
    assert story(run(lifecycle, [3, -0.2, -0.2])) == [("a-1", 1, "new")]
    assert lifecycle.open_alert is not None


def test_cooldown_counts_from_the_end_of_an_alert() -> None:
    events = run(make(cooldown_seconds=4.0), [3, -5, 3, 3, -5, 3, 3])
    assert [e.segment.id for e in events if e.phase == "new"] == [0, 5]


def test_media_time_alone_closes_an_alert_that_nothing_renews() -> None:
    lifecycle = make()
    run(lifecycle, [3])
    assert lifecycle.advance(4.9) == []
    assert story(lifecycle.advance(5.0)) == [("a-1", 2, "end")]
    assert lifecycle.advance(99.0) == []


def test_a_refined_alert_is_confirmed_or_retracted_exactly_once() -> None:
    lifecycle = make()
    lifecycle.apply(verdict(0, 3), mode="full", provisional=True)
    assert [e.phase for e in lifecycle.refined(verdict(0, 4), mode="full")] == ["update"]
    assert lifecycle.refined(verdict(0, -4), mode="full") == []

    lifecycle = make()
    lifecycle.apply(verdict(0, 3), mode="full", provisional=True)
    (retracted,) = lifecycle.refined(verdict(0, -4), mode="full")
    assert (retracted.phase, retracted.state, retracted.rev) == ("retract", "retracted", 2)
    assert retracted.media_end is not None
    assert lifecycle.refined(verdict(0, 4), mode="full") == []


def test_a_late_result_never_reopens_a_closed_alert() -> None:
    lifecycle = make()
    lifecycle.apply(verdict(0, 3), mode="full", provisional=True)
    lifecycle.close("shutdown")
    assert lifecycle.refined(verdict(0, 9), mode="full") == []
    assert lifecycle.open_alert is None


def test_a_late_result_of_a_closed_alert_leaves_the_next_one_alone() -> None:
    lifecycle = make()
    lifecycle.apply(verdict(0, 3), mode="full", provisional=True)
    lifecycle.close("below_t_off")
    (second,) = lifecycle.apply(verdict(9, 3), mode="full", provisional=True)
    for late in (9.0, -9.0):
        assert lifecycle.refined(verdict(0, late), mode="full") == []
    assert lifecycle.open_alert == second


def test_severity_rises_once_with_the_score() -> None:
    events = run(make(), [0.5, 5, 5])
    assert [(e.phase, e.severity) for e in events] == [("new", "notice"), ("update", "alert")]
    assert events[1].prev is not None
    assert events[1].prev.p == events[0].p


def test_an_alert_names_the_step_and_no_part_of_the_model() -> None:
    lifecycle = make()
    (alert,) = lifecycle.apply(
        verdict(0, 3, step=StepGuess("s1", "attach lens", 0.8)), mode="small-only"
    )
    assert "attach lens" in alert.explanation
    assert "branch" not in alert.explanation
    assert alert.step is not None
    assert alert.t is None, "replayed alerts carry no wall times, so that they repeat"


@given(
    scores=st.lists(st.floats(-6, 6), max_size=60),
    overlapping=st.booleans(),
    consecutive=st.integers(1, 3),
    provisional=st.booleans(),
)
def test_every_alert_opens_once_closes_once_and_counts_its_revisions(
    scores: list[float], overlapping: bool, consecutive: int, provisional: bool
) -> None:
    lifecycle = make(overlapping=overlapping, consecutive=consecutive, window=3)
    events: list[AlertData] = []
    for index, value in enumerate(scores):
        item = verdict(index, value)
        events += lifecycle.apply(item, mode="full", provisional=provisional)
        if provisional and index % 2:
            events += lifecycle.refined(verdict(index, -value), mode="full")
        events += lifecycle.advance(index + 1.0)
    events += lifecycle.close("shutdown")
    assert lifecycle.close("shutdown") == []
    by_alert: dict[str, list[AlertData]] = {}
    for event in events:
        by_alert.setdefault(event.alert_id, []).append(event)
    for revisions in by_alert.values():
        assert [r.rev for r in revisions] == list(range(1, len(revisions) + 1))
        phases = [r.phase for r in revisions]
        assert phases[0] == "new"
        assert phases[-1] in ("end", "retract")
        assert all(p == "update" for p in phases[1:-1])
        assert revisions[-1].media_end is not None
