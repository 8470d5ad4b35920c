"""The small thread: encodes each sampled frame once, across cameras, and scores segments."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from egomon.branches.interfaces import Float32, FrameEncoder
from egomon.branches.segment_scorer import SegmentScorer
from egomon.monitor.messages import InOrder, Scored, SourceEnded
from egomon.stream.buffer import RollingBuffer
from egomon.stream.channel import WAIT_SECONDS, Channel
from egomon.stream.frame import Frame, UInt8Image
from egomon.stream.source import Discontinuity
from egomon.stream.worker import Worker

if TYPE_CHECKING:
    from egomon.branches.taught.corrections import Correction

MICRO_BATCH = 8
"""Frames encoded together; more gains nothing on a CPU."""
GATHER_SHARE = 0.5
"""Share of the staleness budget that frames of a live camera may wait for those of other cameras,
unless they finish a segment: encoded one by one they cost half as much again."""

Encode = Callable[[UInt8Image], Float32]
"""See `FrameEncoder.encode`."""


@dataclass(slots=True, eq=False)
class ScoredSource:
    """Scorer and buffer of one source."""

    scorer: SegmentScorer
    buffer: RollingBuffer
    in_whole_batches: bool
    """True for files: full batches only, so that results do not depend on speed."""
    on_gap: Callable[[Discontinuity], None] = lambda gap: None
    """Called with frames that a crash of this thread has lost."""
    done: bool = False

    @property
    def ready(self) -> bool:
        """True if a batch can be taken."""
        unread = self.buffer.unread
        if self.in_whole_batches and not self.buffer.finished:
            return unread >= MICRO_BATCH
        return unread > 0

    @property
    def spare_seconds(self) -> float:
        """Seconds that its frames may still wait for those of other cameras."""
        newest, limit = self.buffer.latest(), self.buffer.staleness_seconds
        if self.in_whole_batches or self.buffer.finished or limit is None or newest is None:
            return 0.0
        if self.scorer.may_finish(newest):
            return 0.0
        return GATHER_SHARE * limit - self.buffer.oldest_unread_seconds


class InferenceWorker:
    """Body of the small thread: owns the frame encoder, the small branch and all scorers."""

    def __init__(
        self,
        encoder: FrameEncoder,
        cameras: Sequence[ScoredSource],
        inbox: Channel[Scored],
        condition: threading.Condition,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._image_px = encoder.image_px
        self.encode: Encode = encoder.encode
        """Gives vectors of frames; a simulation lets its time pass here."""
        self._cameras = cameras
        self._inbox = inbox
        self._condition = condition
        self._clock = clock
        self._orders: deque[Callable[[], None]] = deque()
        self.encoded = 0
        self.encode_ms = 0.0
        """Milliseconds a frame of the last batch."""

    @property
    def done(self) -> bool:
        """True once every source is scored to its end."""
        return all(camera.done for camera in self._cameras)

    def request_reset(self, source: str) -> None:
        """Begin a new workflow before the next batch; callable from any thread."""
        self._orders.append(lambda: self._scorer(source).reset_context())

    def request_corrections(self, corrections: Sequence[Correction]) -> None:
        """Score with these before the next batch; callable from any thread."""

        def work() -> None:
            for camera in self._cameras:
                camera.scorer.correct(corrections)

        self._orders.append(work)

    def exchange(
        self, encoder: FrameEncoder, scorers: Mapping[str, SegmentScorer], done: InOrder
    ) -> None:
        """Score with another encoder and other scorers before the next batch; any thread.

        Args:
            encoder: owned by this thread from then on.
            scorers: by source.
            done: put between the last that the old scorers gave and the first of the new ones.
        """

        def work() -> None:
            for camera in self._cameras:
                self._send(camera.scorer.flush())
                camera.buffer.take(camera.buffer.unread)
                camera.scorer = scorers[camera.scorer.source]
            self.encode, self._image_px = encoder.encode, encoder.image_px
            self._send([done])

        self._orders.append(work)

    def run(self, worker: Worker) -> None:
        """Run until every source is scored to its end; then close the inbox.

        It may run again after an exception: frames of the batch are lost and counted, scorers go on
        as after any other lost frame.
        """
        while not self.done and not worker.stopping:
            worker.beat()
            self.step()
        self.close()

    def close(self) -> None:
        """Close the inbox: no more segments come."""
        self._inbox.close()

    def step(self) -> None:
        """Wait for frames, encode one batch, score what it finishes."""
        with self._condition:
            if not any(c.ready or c.buffer.finished for c in self._cameras if not c.done):
                self._condition.wait(WAIT_SECONDS)
            while (spare := self._spare_seconds()) > 0 and self._condition.wait(spare):
                pass
        while self._orders:
            self._orders.popleft()()
        taken = [
            (camera, self._fitting(camera.buffer.take(MICRO_BATCH)))
            for camera in self._cameras
            if camera.ready
        ]
        before = [camera.scorer.frames for camera, _ in taken]
        try:
            self._score(taken)
        except Exception:
            for (camera, batch), scored in zip(taken, before, strict=True):
                self._tell_lost(camera, batch[camera.scorer.frames - scored :])
            raise
        for camera in self._cameras:
            if not camera.done and camera.buffer.finished and not camera.buffer.unread:
                camera.done = True
                self._send([*camera.scorer.flush(), SourceEnded(camera.scorer.source)])

    def _spare_seconds(self) -> float:
        """Seconds that a batch may still be gathered across cameras; one camera never waits."""
        waiting = [camera for camera in self._cameras if camera.ready]
        if len(self._cameras) == 1 or not waiting:
            return 0.0
        if sum(camera.buffer.unread for camera in waiting) >= MICRO_BATCH:
            return 0.0
        return min(camera.spare_seconds for camera in waiting)

    def _score(self, taken: Sequence[tuple[ScoredSource, list[Frame]]]) -> None:
        frames = [frame for _, batch in taken for frame in batch]
        if not frames:
            return
        vectors = self._encode(frames)
        first = 0
        for camera, batch in taken:
            self._send(camera.scorer.feed(batch, vectors[first : first + len(batch)]))
            first += len(batch)

    @staticmethod
    def _tell_lost(camera: ScoredSource, lost: Sequence[Frame]) -> None:
        if lost:
            camera.on_gap(Discontinuity("crash", len(lost), lost[0].t_seconds, lost[-1].t_seconds))

    def _encode(self, frames: Sequence[Frame]) -> Float32:
        begin = self._clock()
        vectors = self.encode(np.stack([frame.image for frame in frames]))
        self.encoded += len(frames)
        self.encode_ms = (self._clock() - begin) * 1000.0 / len(frames)
        return vectors

    def _send(self, events: Sequence[Scored]) -> None:
        for event in events:
            self._inbox.put(event)

    def _fitting(self, frames: list[Frame]) -> list[Frame]:
        """Without a frame that was resized for the encoder before an exchange."""
        return [frame for frame in frames if frame.image.shape[0] == self._image_px]

    def _scorer(self, source: str) -> SegmentScorer:
        return next(c.scorer for c in self._cameras if c.scorer.source == source)
