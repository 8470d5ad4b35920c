"""Builds scorers and alert engines, for threads or for simulated time."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from egomon.branches.segment_scorer import SegmentScorer
from egomon.config import Settings
from egomon.fusion.alert_engine import AlertEngine, LargeBranchAccess
from egomon.fusion.circuit_breaker import CircuitBreaker
from egomon.fusion.decision import CallBudget, Decider
from egomon.fusion.large_branch_queue import LargeBranchQueue
from egomon.fusion.lifecycle import AlertLifecycle, AlertOrigin
from egomon.monitor.run_plan import RunPlan, read_spans
from egomon.monitor.workers.source_worker import SourceWorker
from egomon.stream.buffer import RollingBuffer


@dataclass(slots=True, eq=False)
class AlertEngines:
    """Alert engines of a run, and the large branch that they share."""

    plan: RunPlan
    refinement: LargeBranchAccess
    engines: dict[str, AlertEngine] = field(default_factory=dict)

    def use(self, plan: RunPlan, settings: Settings, *, timed: bool) -> None:
        """Use other settings from now on; call in the thread that owns the engines."""
        self.plan = plan
        if timed:
            self.refinement.deadline_seconds = settings.decision.refine_deadline_seconds
        for stage in self.engines.values():
            stage.use(plan.decision, CallBudget(settings.decision.refine_calls_per_minute))

    def exchange(
        self, plan: RunPlan, inputs: Sequence[SourceWorker], settings: Settings, *, run: str
    ) -> None:
        """Use another bundle, without a large branch; call in the thread that owns the engines.

        Args:
            plan: of the new bundle.
            inputs: the sources.
            settings: budget of the large branch.
            run: names the alerts from now on.
        """
        self.plan = plan
        if self.refinement.queue is not None:
            self.refinement.queue.close()
            self.refinement.queue = None
        for item in inputs:
            stage = _stage(plan, item.name, run, settings, self.refinement, live=True)
            self.engines[item.name] = stage

    def media_seconds(self) -> float:
        """Media time up to which all segments are decided: a replay's clock."""
        done = [stage.progress.t_seconds for stage in self.engines.values() if stage.progress]
        return max(done, default=0.0)


def build_engines(
    plan: RunPlan,
    inputs: Sequence[SourceWorker],
    settings: Settings,
    *,
    boot: str,
    live: bool,
    clock: Callable[[], float] | None = None,
    coalesce: bool | None = None,
) -> AlertEngines:
    """Build the alert engine of each source and the shared access to the large branch.

    Args:
        plan: what to do.
        inputs: the sources.
        settings: budget and deadline of the large branch.
        boot: names live alerts; a replay names its alerts by file and settings.
        live: deadlines, wall times and latencies.
        clock: of deadlines and breaker; None = monotonic when live, media time in a replay.
        coalesce: let newer segments replace overlapping queued ones; None = when live.
    """
    deadline = settings.decision.refine_deadline_seconds
    timed = live or clock is not None
    parts: AlertEngines

    def media_clock() -> float:
        return parts.media_seconds()

    ticking = clock or (time.monotonic if live else media_clock)
    queue = None
    if plan.use_large:
        queue = LargeBranchQueue(coalesce=timed if coalesce is None else coalesce, clock=ticking)
    parts = AlertEngines(
        plan,
        LargeBranchAccess(
            queue,
            CircuitBreaker(ticking),
            deadline_seconds=deadline if timed else None,
            clock=ticking,
        ),
    )
    for item in inputs:
        run = boot if live else plan.fingerprint(item.reference)
        parts.engines[item.name] = _stage(plan, item.name, run, settings, parts.refinement, live)
    return parts


def build_scorer(
    plan: RunPlan, item: SourceWorker, buffer: RollingBuffer, settings: Settings
) -> SegmentScorer:
    """Build one source's segment scorer."""
    return SegmentScorer(
        item.name,
        plan.scoring_models,
        plan.segmenter(read_spans(settings.segments.file, item.reference)),
        window=buffer.window,
        reset_gap_seconds=settings.source.reset_gap_seconds,
    )


def _stage(
    plan: RunPlan,
    name: str,
    run: str,
    settings: Settings,
    refinement: LargeBranchAccess,
    live: bool,
) -> AlertEngine:
    count = itertools.count(1)
    lifecycle = AlertLifecycle(
        AlertOrigin(
            source=name,
            model=plan.bundle.model_id,
            demonstration=plan.bundle.card.demonstration,
            live=live,
        ),
        plan.decision,
        next_id=lambda: f"a-{name}-{run}-{next(count):05d}",
        overlapping=plan.stream.policy == "fixed",
        idle_close_seconds=plan.idle_close_seconds,
    )
    return AlertEngine(
        Decider(plan.decision, plan.gate),
        lifecycle,
        refinement,
        emission=settings.decision.emit,
        budget=CallBudget(settings.decision.refine_calls_per_minute),
    )
