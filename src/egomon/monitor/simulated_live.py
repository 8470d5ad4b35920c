"""`replay --as-live`: what would live have done? The workers of a live run, on a simulated clock.

One thread steps reader, small worker, large worker and emit thread through simulated time; how
long the models take comes from a seeded latency model, so the same seed gives the same alerts on
any machine.
"""

from __future__ import annotations

import dataclasses
import random

from egomon.branches.interfaces import Float32
from egomon.fusion.large_branch_queue import LargeBranchResult, refine_next
from egomon.monitor.messages import LatencyModel
from egomon.monitor.pipeline import Pipeline, Queues
from egomon.monitor.workers.alert_worker import POLL_MS
from egomon.monitor.workers.source_worker import SourceWorker
from egomon.stream.frame import Frame, UInt8Image
from egomon.stream.reader import SourceReader
from egomon.stream.source import Source
from egomon.units import NS_PER_SECOND

POLL_SECONDS = POLL_MS / 1000


class SimulatedClock:
    """Seconds of simulated time; callable like `time.monotonic`."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The current time."""
        return self.now


class LiveSimulation:
    """Steps the workers of a pipeline with one source; the sink of the source's reader.

    A frame arrives at its media time, whatever the small worker is doing then; the emit thread
    wakes where a live one would: for scores, answers, notices, and every 250 ms.

    Args:
        pipeline: on `clock`, not started.
        item: its only source.
        queues: of the pipeline.
        model: how long the branches take.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        item: SourceWorker,
        queues: Queues,
        clock: SimulatedClock,
        model: LatencyModel,
    ) -> None:
        self._pipeline, self._buffer, self._queues = pipeline, item.buffer, queues
        self._clock, self._model = clock, model
        self._random = random.Random(model.seed)
        self._source: Source = item.open()
        self._reader: SourceReader = item.producer(pipeline.parts.plan, self._source, self)
        self._arriving: Frame | None = None
        """The next sampled frame; its time has not come."""
        self._answer: tuple[float, LargeBranchResult] | None = None
        """Result of the large worker, and the time when it comes."""
        self._next_poll = clock.now
        self._encode = pipeline.scoring.encode
        pipeline.scoring.encode = self._encode_in_time
        self._jobs = pipeline.parts.refinement.queue
        self._large = None if self._jobs is None else pipeline.load_large()

    def run(self) -> None:
        """Until the source is over and its last segment is judged."""
        scoring = self._pipeline.scoring
        self._read()
        while not scoring.done:
            if self._buffer.unread or self._buffer.finished:
                scoring.step()
                self._judge()
            else:
                self._pass_until(self._next_due())
        scoring.close()
        while not self._judge():
            self._pass_until(self._next_due())

    def push(self, frame: Frame) -> bool:
        """See `FrameSink`."""
        self._arriving = dataclasses.replace(frame, mono_ns=int(frame.t_seconds * NS_PER_SECOND))
        return True

    def finish(self) -> None:
        """See `FrameSink`."""
        self._buffer.finish()

    def _read(self) -> None:
        """Find the next sampled frame, or the end."""
        self._arriving = None
        while self._arriving is None and not self._buffer.finished:
            grab = self._source.read()
            if grab is None or not self._reader.take(grab):
                self.finish()

    def _encode_in_time(self, images: UInt8Image) -> Float32:
        vectors = self._encode(images)
        self._pass_until(self._clock.now + len(images) * self._draw(self._model.frame_ms))
        return vectors

    def _pass_until(self, t_seconds: float) -> None:
        """Let happen, in order, what does not wait for the small worker."""
        while (due := self._next_due()) <= t_seconds:
            self._clock.now = max(self._clock.now, due)
            if self._answer is not None and self._answer[0] <= due:
                self._queues.results.put(self._answer[1])
                self._answer = None
            elif self._arriving is not None and self._arriving.t_seconds <= due:
                self._buffer.push(self._arriving)
                self._read()
            if due >= self._next_poll or len(self._queues.results) or len(self._queues.notices):
                self._judge()
        self._clock.now = max(self._clock.now, t_seconds)

    def _judge(self) -> bool:
        """The emit thread wakes, and then the large worker; True when the run is over."""
        self._next_poll = self._clock.now + POLL_SECONDS
        over = self._pipeline.alert_worker.step()
        self._ask_large()
        return over

    def _next_due(self) -> float:
        due = [self._next_poll]
        if self._arriving is not None:
            due.append(self._arriving.t_seconds)
        if self._answer is not None:
            due.append(self._answer[0])
        return min(due)

    def _ask_large(self) -> None:
        while self._large is not None and self._answer is None and self._jobs:
            result = refine_next(self._large, self._jobs, 0.0, self._clock)
            assert result is not None
            if result.expired:  # told at once: it was not run
                self._queues.results.put(result)
            else:
                self._answer = self._clock.now + self._draw(self._model.large_ms), result

    def _draw(self, milliseconds: float) -> float:
        """Seconds, with the model's jitter."""
        spread = self._random.uniform(-self._model.jitter, self._model.jitter)
        return milliseconds * 1e-3 * (1.0 + spread)
