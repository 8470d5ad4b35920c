"""`replay --as-live`: a live run on a simulated clock, with its drops, deadlines and late results.

One thread steps buffer, scorer and alert engine through simulated time; how long the models take
comes from a seeded latency model, so the same seed gives the same alerts on any machine.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from egomon.branches.interfaces import FrameEncoder, LargeBranch
from egomon.branches.segment_scorer import Progress, ScoredSegment, SegmentScorer
from egomon.config import Settings
from egomon.fusion.alert_engine import AlertEngine
from egomon.fusion.large_branch_queue import (
    LargeBranchJob,
    LargeBranchQueue,
    LargeBranchResult,
    refine,
)
from egomon.fusion.media.attach import EvidenceAttacher
from egomon.fusion.messages.types import AlertData, Data
from egomon.monitor.build import AlertEngines, build_engines, build_scorer
from egomon.monitor.inference_worker import MICRO_BATCH
from egomon.monitor.messages import LatencyModel
from egomon.monitor.run_plan import RunPlan
from egomon.monitor.source_worker import SourceWorker
from egomon.stream.buffer import RollingBuffer
from egomon.stream.frame import Frame

NS = 1_000_000_000
BYTES_PER_MB = 1 << 20


class SimulatedClock:
    """Seconds of simulated time; callable like `time.monotonic`."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The current time."""
        return self.now


class LiveSimulation:
    """Steps one source through simulated time.

    Args:
        scorer: with the small branch.
        buffer: live policy, on `clock`.
        stage: fusion, with `queue` on `clock`.
        queue, large: None without a large branch.
    """

    def __init__(
        self,
        scorer: SegmentScorer,
        buffer: RollingBuffer,
        stage: AlertEngine,
        encoder: FrameEncoder,
        queue: LargeBranchQueue | None,
        large: LargeBranch | None,
        clock: SimulatedClock,
        model: LatencyModel,
    ) -> None:
        self._scorer, self._buffer, self._stage = scorer, buffer, stage
        self._encoder = encoder
        self._queue, self._large = queue, large
        self._clock, self._model = clock, model
        self._random = random.Random(model.seed)
        self._small_free = 0.0
        self._large_free = 0.0
        self._running: tuple[float, LargeBranchJob] | None = None

    def push(self, frame: Frame) -> list[Data]:
        """A frame arrives at its media time."""
        out = self._work_until(frame.t_seconds)
        self._clock.now = frame.t_seconds
        self._buffer.push(dataclasses.replace(frame, mono_ns=int(frame.t_seconds * NS)))
        return out

    def finish(self) -> list[Data]:
        """The source ended: score what waits, in the time that it takes."""
        out: list[Data] = []
        while self._buffer.unread:
            out += self._work_until(self._small_free + 1e-9)
        out += self._handle(self._scorer.flush())
        while self._running is not None or (self._queue is not None and len(self._queue)):
            out += self._refine_until(self._clock.now + 1.0)
        return out

    def _work_until(self, t: float) -> list[Data]:
        out: list[Data] = []
        while self._buffer.unread and self._small_free <= t:
            self._clock.now = max(self._small_free, self._clock.now)
            frames = self._buffer.take(MICRO_BATCH)
            if not frames:
                break
            vectors = self._encoder.encode(np.stack([f.image for f in frames]))
            self._small_free = self._clock.now + len(frames) * self._draw(self._model.frame_ms)
            out += self._refine_until(self._small_free)
            out += self._handle(self._scorer.feed(frames, vectors))
        return out + self._refine_until(max(t, self._clock.now))

    def _handle(self, events: Sequence[ScoredSegment | Progress]) -> list[Data]:
        out: list[Data] = []
        for event in events:
            if isinstance(event, Progress):
                out += self._stage.on_progress(event)
            else:
                out += self._stage.on_scored(event)
        return out

    def _refine_until(self, t: float) -> list[Data]:
        out: list[Data] = []
        while True:
            if self._running is None and self._queue is not None and self._large_free <= t:
                job = self._queue.take(0.0) if len(self._queue) else None
                if job is not None:
                    start = max(self._large_free, self._clock.now)
                    self._running = (start + self._draw(self._model.large_ms), job)
            if self._running is None or self._running[0] > t:
                break
            done, job = self._running
            self._clock.now = max(self._clock.now, done)
            self._large_free, self._running = done, None
            out += self._stage.on_result(self._result(job))
        self._clock.now = max(self._clock.now, t)
        return out + self._stage.tick()

    def _result(self, job: LargeBranchJob) -> LargeBranchResult:
        assert self._large is not None
        # The deadline was checked by the stage; a job that was started runs to its end.
        result = refine(self._large, dataclasses.replace(job, deadline=None), self._clock.now)
        return dataclasses.replace(result, job=job)

    def _draw(self, milliseconds: float) -> float:
        spread = self._random.uniform(-self._model.jitter, self._model.jitter)
        return milliseconds * 1e-3 * (1.0 + spread)


class _Arrivals:
    """Sink of the producer: every frame advances simulated time."""

    def __init__(self, simulation: LiveSimulation, emit: Callable[[list[Data]], None]) -> None:
        self._simulation = simulation
        self._emit = emit

    def push(self, frame: Frame) -> bool:
        self._emit(self._simulation.push(frame))
        return True

    def finish(self) -> None:
        self._emit(self._simulation.finish())


def simulate(
    item: SourceWorker,
    plan: RunPlan,
    settings: Settings,
    attacher: EvidenceAttacher,
    model: LatencyModel,
    alerts: Counter[str],
) -> AlertEngines:
    """Replay one file as if it were live; counts alert phases in `alerts`."""
    clock = SimulatedClock()
    parts = build_engines(plan, [item], settings, boot="", live=False, clock=clock)
    buffer = RollingBuffer(
        seconds=settings.source.buffer_seconds,
        max_bytes=settings.source.buffer_mb * BYTES_PER_MB,
        on_full="drop_oldest",
        staleness_seconds=settings.source.staleness_seconds,
        on_gap=item.on_gap,
        clock=clock,
    )
    assert plan.bundle.encoder is not None
    stage = parts.engines[item.name]
    attacher.watch(stage, item.name, buffer, lambda: item.size, item.packets)
    simulation = LiveSimulation(
        build_scorer(plan, item, buffer, settings),
        buffer,
        stage,
        plan.bundle.encoder,
        parts.refinement.queue,
        plan.bundle.load_large() if plan.use_large else None,
        clock,
        model,
    )

    def emit(events: list[Data]) -> None:
        for event in events:
            if isinstance(event, AlertData):
                alerts[event.phase] += 1
            attacher.emit(item.name, event)

    with item.open() as source:
        producer = item.producer(plan, source, _Arrivals(simulation, emit))
        while (grab := source.read()) is not None and producer.take(grab):
            pass
    emit(simulation.finish())
    emit(stage.finish("source_ended"))
    return parts
