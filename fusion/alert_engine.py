"""Alert engine of one source: scored segments in, alerts out. No threads."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from egomon.branches.bundle.card import DecisionCard
from egomon.branches.segment_scorer import Progress, ScoredSegment
from egomon.fusion.alert_text import gaze_of, scores_of, segment_ref
from egomon.fusion.circuit_breaker import CircuitBreaker
from egomon.fusion.decision import CallBudget, Decider, Verdict
from egomon.fusion.large_branch_queue import LargeBranchJob, LargeBranchQueue, LargeBranchResult
from egomon.fusion.lifecycle import AlertLifecycle
from egomon.fusion.messages.types import AlertData, Data, Mode, Reason, SegmentData, Step
from egomon.stream.frame import Segment

Emission = Literal["gated", "provisional", "small-only"]


@dataclass(slots=True, eq=False)
class _Entry:
    """A segment that waits for its verdict; None while the large branch scores it."""

    scored: ScoredSegment
    job: LargeBranchJob | None = None
    verdict: Verdict | None = None


class LargeBranchAccess:
    """Access to the large branch: queue, breaker and counters, shared by all sources.

    Args:
        queue: jobs for the large worker; None where the bundle has no large branch.
        breaker: stops asking a failing branch.
        deadline_seconds: longest wait for an answer; None in replay, which waits.
        clock: the clock of the deadline.
    """

    def __init__(
        self,
        queue: LargeBranchQueue | None,
        breaker: CircuitBreaker,
        *,
        deadline_seconds: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.queue = queue
        self.breaker = breaker
        self.deadline_seconds = deadline_seconds
        self.clock = clock
        self.counts: Counter[str] = Counter()
        self.failed: str | None = None
        """Error of loading the large branch; None unless it failed."""

    @property
    def available(self) -> bool:
        """True if a job could be run now."""
        return self.queue is not None and self.failed is None and self.breaker.state != "open"

    @property
    def mode(self) -> Mode:
        """`full` with both branches."""
        return "full" if self.available else "small-only"

    @property
    def degraded(self) -> bool:
        """True if there should be a large branch but there is none at the moment."""
        return self.queue is not None and not self.available


class AlertEngine:
    """Turns one source's scored segments into alerts; call from the emit thread only.

    Segments leave in the order in which they came. With gated emission a flagged segment holds
    back the ones after it until the large branch answered or the deadline passed; with
    provisional emission the small branch's verdict goes out at once and the large one revises it.
    """

    def __init__(
        self,
        decider: Decider,
        lifecycle: AlertLifecycle,
        refinement: LargeBranchAccess,
        *,
        emission: Emission,
        budget: CallBudget,
    ) -> None:
        self._decider = decider
        self.lifecycle = lifecycle
        self._refinement = refinement
        self._emission = emission
        self._budget = budget
        self._waiting: deque[_Entry | Progress] = deque()
        self._revising: list[_Entry] = []
        """Provisional emission: small verdicts that went out and wait for a large score."""
        self.segments = 0
        self.progress: Progress | None = None
        self.on_open: Callable[[str, Segment], None] = lambda alert_id, segment: None
        """Called with the id of each new alert and its first segment, before the alert goes out."""

    def use(self, card: DecisionCard, budget: CallBudget) -> None:
        """Use other thresholds from the next segment on; an open alert stays open."""
        self._decider.card = self.lifecycle.card = card
        self._budget = budget

    def on_scored(self, scored: ScoredSegment) -> list[Data]:
        """Add a scored segment."""
        self.segments += 1
        entry = _Entry(scored)
        out: list[Data] = []
        if not self._wants_large(scored):
            entry.verdict = self._decider.small(scored)
        elif self._refinement.available and self._refinement.breaker.allow():
            out += self._submit(entry)
        else:
            entry.verdict = self._decider.small(scored, flagged=True, why="breaker_open")
        if entry.verdict is None and self._emission == "provisional":
            self._revising.append(entry)
        else:
            self._waiting.append(entry)
        return out + self.drain()

    def on_progress(self, progress: Progress) -> list[Data]:
        """Add a progress note; it keeps its place among the segments."""
        self._waiting.append(progress)
        return self.drain()

    def on_result(self, result: LargeBranchResult) -> list[Data]:
        """Add a result of the large branch."""
        counts, breaker = self._refinement.counts, self._refinement.breaker
        entry = self._entry(result.job)
        if result.expired:
            breaker.withdraw()
        elif result.score is None:
            counts["failed"] += 1
            if entry is not None or result.out_of_memory:  # else `tick` has told it
                breaker.failure(out_of_memory=result.out_of_memory)
        else:
            breaker.success()
            counts["ok" if entry is not None else "late"] += 1
        if entry is None:
            return []
        if result.score is None:
            if result.expired:
                counts["expired"] += 1
            return self._resolve_small(entry, "refine_expired" if result.expired else None)
        return self._resolve(entry, self._decider.fused(entry.scored, result.score))

    def tick(self) -> list[Data]:
        """Give up on overdue results of the large branch."""
        now = self._refinement.clock()
        out: list[Data] = []
        for entry in self._unresolved():
            if entry.job is None or entry.job.deadline is None:
                continue
            if now > entry.job.deadline:
                self._refinement.counts["expired"] += 1
                if not self._is_queued(entry.job):  # it runs, and takes too long
                    self._refinement.breaker.failure()
                out += self._resolve_small(entry, "refine_expired")
        return out

    def finish(self, reason: Reason) -> list[Data]:
        """End the source: decide waiting segments by the small branch and close the alert."""
        out: list[Data] = []
        for entry in self._unresolved():
            out += self._resolve_small(entry, "refine_expired")
        return [*out, *self.drain(), *self.lifecycle.close(reason)]

    @property
    def pending(self) -> int:
        """Number of segments that wait for the large branch."""
        return len(self._unresolved())

    def drain(self) -> list[Data]:
        """Decide, in order, the segments whose verdict is known."""
        out: list[Data] = []
        while self._waiting:
            entry = self._waiting[0]
            if isinstance(entry, Progress):
                self.progress = entry
                out += self.lifecycle.advance(entry.t_seconds)
            elif entry.verdict is not None:
                out += self._judge(entry.verdict)
            else:
                break
            self._waiting.popleft()
        return out

    def _wants_large(self, scored: ScoredSegment) -> bool:
        if self._refinement.queue is None or self._emission == "small-only":
            return False
        return self._decider.wants_large(scored) and self._budget.take(scored.segment.t_end)

    def _submit(self, entry: _Entry) -> list[Data]:
        refinement = self._refinement
        assert refinement.queue is not None
        limit = refinement.deadline_seconds
        is_open = self.lifecycle.open_alert is not None
        entry.job = LargeBranchJob(
            scored=entry.scored,
            priority=entry.scored.score.log_odds + (100.0 if is_open else 0.0),
            deadline=None if limit is None else refinement.clock() + limit,
        )
        out: list[Data] = []
        if self._emission == "provisional":
            small = self._decider.small(entry.scored, flagged=True)
            out += self._apply(small, refinement.mode, provisional=True)
        for lost in refinement.queue.submit(entry.job):
            refinement.counts["rejected" if lost is entry.job else "coalesced"] += 1
            refinement.breaker.withdraw()
            loser = entry if lost is entry.job else self._entry(lost)
            if loser is not None:
                out += self._resolve_small(loser, "refine_expired")
        return out

    def _resolve_small(self, entry: _Entry, why: Literal["refine_expired"] | None) -> list[Data]:
        reason: Literal["refine_expired", "breaker_open"] = why or "breaker_open"
        return self._resolve(entry, self._decider.small(entry.scored, flagged=True, why=reason))

    def _resolve(self, entry: _Entry, verdict: Verdict) -> list[Data]:
        entry.verdict = verdict
        if entry in self._revising:
            self._revising.remove(entry)
            return self._judge(verdict)
        return self.drain()

    def _judge(self, verdict: Verdict) -> list[Data]:
        refinement = self._refinement
        mode: Mode = "full" if verdict.stage == "fused" else refinement.mode
        degraded = verdict.why_small is not None
        if degraded:
            mode = "small-only"
        if verdict.flagged and self._emission == "provisional":
            alerts = (
                self.lifecycle.unrefined(verdict, mode=mode)
                if degraded
                else self.lifecycle.refined(verdict, mode=mode)
            )
        else:
            alerts = self._apply(verdict, mode, degraded=degraded)
        # The alert first: nobody waits for the record of its segment.
        return [*alerts, self._segment_data(verdict, mode)]

    def _apply(
        self, verdict: Verdict, mode: Mode, *, degraded: bool = False, provisional: bool = False
    ) -> list[AlertData]:
        alerts = self.lifecycle.apply(
            verdict, mode=mode, degraded=degraded, provisional=provisional
        )
        for alert in alerts:
            if alert.phase == "new":
                self.on_open(alert.alert_id, verdict.scored.segment)
        return alerts

    def _segment_data(self, verdict: Verdict, mode: Mode) -> SegmentData:
        scored = verdict.scored
        step, distance = scored.score.step, scored.guard_distance
        return SegmentData(
            segment=segment_ref(verdict),
            p=round(verdict.p_mistake, 6),
            stage=verdict.stage,
            scores=scores_of(verdict),
            flagged=verdict.flagged,
            step=None
            if step is None
            else Step(id=step.id, text=step.text, conf=round(step.confidence, 6)),
            guard_distance=None if distance is None else round(distance, 6),
            out_of_domain=scored.out_of_domain,
            mode=mode,
            gaze=gaze_of(scored.segment),
        )

    def _entry(self, job: LargeBranchJob) -> _Entry | None:
        return next((entry for entry in self._unresolved() if entry.job is job), None)

    def _unresolved(self) -> list[_Entry]:
        entries = [e for e in self._waiting if isinstance(e, _Entry) and e.verdict is None]
        return [*self._revising, *entries]

    def _is_queued(self, job: LargeBranchJob) -> bool:
        queue = self._refinement.queue
        return queue is not None and queue.holds(job)
