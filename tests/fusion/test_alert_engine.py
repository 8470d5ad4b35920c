"""Fusion of one source: order, deadlines, breaker, provisional emission; all without threads."""

import itertools
from dataclasses import replace

import pytest
from fakes import FakeClock, MeanGate, ScriptedLarge
from segments import progress, scored

from egomon.branches.bundle.card import DecisionCard
from egomon.fusion.alert_engine import AlertEngine, Emission, LargeBranchAccess
from egomon.fusion.circuit_breaker import CircuitBreaker
from egomon.fusion.decision import CallBudget, Decider
from egomon.fusion.large_branch_queue import LargeBranchQueue, refine
from egomon.fusion.lifecycle import AlertLifecycle, AlertOrigin
from egomon.fusion.messages.types import AlertData, Data, SegmentData, SegmentGaze
from egomon.stream.frame import Gaze


class Bench:
    """A stage with a large branch that answers when the test says so."""

    def __init__(
        self,
        script: list[float | Exception] | None = None,
        *,
        emission: Emission = "gated",
        deadline: float | None = 3.0,
        calls_per_minute: float | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.large = ScriptedLarge(script or [])
        self.queue = LargeBranchQueue(clock=self.clock)
        self.breaker = CircuitBreaker(self.clock)
        self.refinement = LargeBranchAccess(
            self.queue, self.breaker, deadline_seconds=deadline, clock=self.clock
        )
        card = DecisionCard(flag_low=0.4, cooldown_seconds=0.0)
        count = itertools.count(1)
        self.stage = AlertEngine(
            Decider(card, MeanGate()),
            AlertLifecycle(
                AlertOrigin("cam", "tiny@0"),
                card,
                next_id=lambda: f"a-{next(count)}",
                overlapping=True,
                idle_close_seconds=3.0,
            ),
            self.refinement,
            emission=emission,
            budget=CallBudget(calls_per_minute),
        )

    def answer(self) -> list[Data]:
        """Let the large worker do one job."""
        job = self.queue.take(0.0)
        assert job is not None
        return self.stage.on_result(refine(self.large, job, self.clock()))


def alerts(events: list[Data]) -> list[tuple[str, str]]:
    return [(e.phase, e.reason) for e in events if isinstance(e, AlertData)]


def engines(events: list[Data]) -> list[tuple[int, str]]:
    return [(e.segment.id, e.stage) for e in events if isinstance(e, SegmentData)]


def test_a_flagged_segment_holds_back_the_ones_after_it_until_the_gate_has_spoken() -> None:
    bench = Bench([4.0])
    assert bench.stage.on_scored(scored(0, 3.0)) == []
    assert bench.stage.on_scored(scored(1, -5.0)) == []
    assert bench.stage.on_progress(progress(3.0)) == []
    events = bench.answer()
    assert engines(events) == [(0, "fused"), (1, "small")]
    assert alerts(events) == [("new", "refined"), ("end", "below_t_off")]


def test_the_record_of_a_segment_says_where_its_wearer_looked() -> None:
    def looked(*gaze: Gaze) -> SegmentGaze | None:
        plain = scored(0, -5.0)
        given = replace(plain, segment=replace(plain.segment, gaze=gaze))
        (record,) = Bench().stage.on_scored(given)
        assert isinstance(record, SegmentData)
        return record.gaze

    left, right, off = Gaze(0.25, 0.5, True), Gaze(0.5, 1.0, True), Gaze(9.0, 9.0, False)
    assert looked(left, right, off) == SegmentGaze(frames=3, worn=0.6667, x=0.375, y=0.75)
    assert looked(off) == SegmentGaze(frames=1, worn=0.0, x=None, y=None)
    assert looked() is None


def test_the_large_branch_can_veto_before_anything_is_said() -> None:
    bench = Bench([-9.0])
    bench.stage.on_scored(scored(0, 3.0))
    events = bench.answer()
    assert alerts(events) == []
    assert engines(events) == [(0, "fused")]


def test_after_the_deadline_the_small_branch_stands_and_says_so() -> None:
    bench = Bench()
    bench.stage.on_scored(scored(0, 3.0))
    assert bench.stage.tick() == []
    bench.clock.now = 3.1
    events = bench.stage.tick()
    assert alerts(events) == [("new", "refine_expired")]
    (alert,) = (e for e in events if isinstance(e, AlertData))
    assert (alert.mode, alert.degraded) == ("small-only", True)
    assert alert.scores.fused is None


def test_a_job_that_is_too_late_is_never_run() -> None:
    bench = Bench([4.0])
    bench.stage.on_scored(scored(0, 3.0))
    bench.clock.now = 3.1
    bench.stage.tick()
    bench.answer()
    assert bench.large.calls == []
    assert bench.refinement.counts["expired"] == 1


def test_a_late_answer_is_counted_and_changes_nothing() -> None:
    bench = Bench([4.0])
    bench.stage.on_scored(scored(0, 3.0))
    job = bench.queue.take(0.0)
    assert job is not None
    result = refine(bench.large, job, bench.clock())
    bench.clock.now = 3.1
    assert alerts(bench.stage.tick()) == [("new", "refine_expired")]
    assert bench.stage.on_result(result) == []
    assert bench.refinement.counts["late"] == 1


def test_three_failures_open_the_breaker_and_alerts_go_on_degraded() -> None:
    bench = Bench([RuntimeError("no"), RuntimeError("no"), RuntimeError("no"), 4.0])
    for i in range(3):
        bench.stage.on_scored(scored(2 * i, 3.0))
        bench.answer()
    assert bench.breaker.state == "open"
    assert (bench.refinement.mode, bench.refinement.degraded) == ("small-only", True)
    events = bench.stage.on_scored(scored(20, 3.0))
    assert engines(events) == [(20, "expired")]
    assert len(bench.queue) == 0
    bench.clock.now = 12.0
    assert bench.breaker.state == "half-open"
    bench.stage.on_scored(scored(40, 3.0))
    bench.stage.on_scored(scored(43, 3.0))
    assert len(bench.queue) == 1, "half-open lets one probe through"
    events = bench.answer()
    assert bench.breaker.state == "closed"
    assert engines(events) == [(40, "fused"), (43, "expired")]
    assert len(bench.large.calls) == 4


def test_one_out_of_memory_opens_the_breaker_at_once() -> None:
    bench = Bench([RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")])
    bench.stage.on_scored(scored(0, 3.0))
    assert alerts(bench.answer()) == [("new", "breaker_open")]
    assert bench.breaker.state == "open"


def test_a_score_that_is_not_finite_is_a_failure() -> None:
    bench = Bench([float("nan")])
    bench.stage.on_scored(scored(0, 3.0))
    assert engines(bench.answer()) == [(0, "expired")]
    assert bench.refinement.counts["failed"] == 1


def test_a_hanging_call_counts_as_one_failure_however_long_it_hangs() -> None:
    bench = Bench([4.0])
    bench.stage.on_scored(scored(0, 3.0))
    assert bench.queue.take(0.0) is not None, "the worker took it and hangs"
    for _ in range(3):
        bench.clock.now += 3.1
        bench.stage.tick()
    assert bench.refinement.counts["expired"] == 1, "one job overruns once"
    assert bench.breaker.state == "closed"


@pytest.mark.parametrize(("hangs", "state"), [(True, "open"), (False, "closed")])
def test_three_calls_that_hang_open_the_breaker_and_three_that_only_waited_do_not(
    hangs: bool, state: str
) -> None:
    bench = Bench()
    for i in range(3):
        bench.stage.on_scored(scored(20 * i, 3.0))
        if hangs:
            assert bench.queue.take(0.0) is not None, "the worker took it and hangs"
        bench.clock.now += 3.1
        assert alerts(bench.stage.tick())[-1:] == [("new", "refine_expired")][: i == 0]
    assert bench.refinement.counts["expired"] == 3
    assert bench.breaker.state == state


def test_newer_overlapping_segments_replace_waiting_ones() -> None:
    bench = Bench([4.0])
    for i in range(3):
        bench.stage.on_scored(scored(i, 3.0))
    assert len(bench.queue) == 1
    assert bench.refinement.counts["coalesced"] == 2
    events = bench.answer()
    assert engines(events) == [(2, "fused")]


def test_the_queue_never_grows_beyond_eight_and_keeps_the_most_suspicious() -> None:
    bench = Bench()
    for i in range(20):
        flagged_but_no_hit = -0.35 + 0.05 * (i % 7)
        bench.stage.on_scored(scored(i, flagged_but_no_hit, start=3.0 * i))
        assert len(bench.queue) <= 8
    left = [job for _ in range(8) if (job := bench.queue.take(0.0)) is not None]
    assert len(left) == 8
    assert [round(-100 * job.priority) for job in left] == [5, 5, 10, 10, 10, 15, 15, 15]
    assert bench.refinement.counts["coalesced"] + bench.refinement.counts["rejected"] == 12


def test_provisional_emission_speaks_at_once_and_is_confirmed_or_retracted() -> None:
    bench = Bench([4.0, -9.0], emission="provisional")
    assert alerts(bench.stage.on_scored(scored(0, 3.0))) == [("new", "small_score")]
    assert alerts(bench.answer()) == [("update", "refined")]
    assert alerts(bench.stage.on_scored(scored(9, -5.0))) == [("end", "below_t_off")]
    assert alerts(bench.stage.on_scored(scored(20, 3.0))) == [("new", "small_score")]
    assert alerts(bench.answer()) == [("retract", "refined_below_threshold")]


def test_provisional_emission_does_not_hold_back_later_segments() -> None:
    bench = Bench([4.0], emission="provisional")
    bench.stage.on_scored(scored(0, 3.0))
    assert alerts(bench.stage.on_scored(scored(5, -5.0))) == [("end", "below_t_off")]
    assert alerts(bench.answer()) == []


def test_a_budget_limits_calls_and_the_rest_is_judged_by_the_small_branch() -> None:
    bench = Bench([4.0] * 9, calls_per_minute=1.0)
    bench.stage.on_scored(scored(0, 3.0))
    bench.answer()
    assert engines(bench.stage.on_scored(scored(1, 3.0))) == [(1, "small")]


def test_the_end_of_a_source_settles_everything_and_closes_the_alert() -> None:
    bench = Bench()
    bench.stage.on_scored(scored(0, 3.0))
    bench.stage.on_scored(scored(5, 3.0))
    events = bench.stage.finish("shutdown")
    assert [phase for phase, _ in alerts(events)] == ["new", "end"]
    assert alerts(events)[-1] == ("end", "shutdown")
    assert bench.stage.pending == 0
    assert bench.stage.finish("shutdown") == []


def test_small_only_emission_never_asks_the_large_branch() -> None:
    bench = Bench(emission="small-only")
    assert alerts(bench.stage.on_scored(scored(0, 3.0))) == [("new", "small_score")]
    assert len(bench.queue) == 0
