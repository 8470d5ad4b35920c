"""Builds what scores and judges, for threads or for simulated time."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from egomon.branches.segment_scorer import Lane
from egomon.config import Settings
from egomon.fusion.alert_engine import Refinement, SourceStage
from egomon.fusion.circuit_breaker import Breaker
from egomon.fusion.decision import CallBudget, Decider
from egomon.fusion.large_branch_queue import RefineQueue
from egomon.fusion.lifecycle import AlertLifecycle, AlertOrigin
from egomon.monitor.run_plan import Plan, read_spans
from egomon.monitor.source_worker import Input
from egomon.stream.buffer import RollingBuffer


@dataclass(slots=True, eq=False)
class Parts:
    """Fusion's state of a run."""

    plan: Plan
    refinement: Refinement
    stages: dict[str, SourceStage] = field(default_factory=dict)

    def use(self, plan: Plan, settings: Settings, *, timed: bool) -> None:
        """Judge by other settings from now on; in the thread that owns the stages."""
        self.plan = plan
        if timed:
            self.refinement.deadline_seconds = settings.decision.refine_deadline_seconds
        for stage in self.stages.values():
            stage.use(plan.decision, CallBudget(settings.decision.refine_calls_per_minute))

    def media_seconds(self) -> float:
        """Media time up to which everything has been judged: a replay's clock."""
        done = [stage.progress.t_seconds for stage in self.stages.values() if stage.progress]
        return max(done, default=0.0)


def build_parts(
    plan: Plan,
    inputs: Sequence[Input],
    settings: Settings,
    *,
    boot: str,
    live: bool,
    clock: Callable[[], float] | None = None,
    coalesce: bool | None = None,
) -> Parts:
    """Stages of all sources with their shared refinement.

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
    parts: Parts

    def media_clock() -> float:
        return parts.media_seconds()

    ticking = clock or (time.monotonic if live else media_clock)
    queue = None
    if plan.use_large:
        queue = RefineQueue(coalesce=timed if coalesce is None else coalesce, clock=ticking)
    parts = Parts(
        plan,
        Refinement(
            queue,
            Breaker(ticking),
            deadline_seconds=deadline if timed else None,
            clock=ticking,
        ),
    )
    for item in inputs:
        run = boot if live else plan.fingerprint(item.reference)
        parts.stages[item.name] = _stage(plan, item.name, run, settings, parts.refinement, live)
    return parts


def build_lane(plan: Plan, item: Input, buffer: RollingBuffer, settings: Settings) -> Lane:
    """One source's way from vectors to scored segments."""
    return Lane(
        item.name,
        plan.lane_parts,
        plan.segmenter(read_spans(settings.segments.file, item.reference)),
        window=buffer.window,
        reset_gap_seconds=settings.source.reset_gap_seconds,
    )


def _stage(
    plan: Plan, name: str, run: str, settings: Settings, refinement: Refinement, live: bool
) -> SourceStage:
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
    return SourceStage(
        Decider(plan.decision, plan.gate),
        lifecycle,
        refinement,
        emission=settings.decision.emit,
        budget=CallBudget(settings.decision.refine_calls_per_minute),
    )
