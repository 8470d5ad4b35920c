"""The rolling clip buffer: the seam between the producer and the small-branch worker."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Literal

from egomon.stream.channel import WAIT_SECONDS
from egomon.stream.frame import Frame
from egomon.stream.source import Discontinuity, GapCause
from egomon.units import SECONDS_PER_NS

LEAST_UNREAD_FRAMES = 32
"""Frames that always fit, whatever the bounds: a reader may wait for a whole micro-batch."""


class RollingBuffer:
    """Sampled frames of the last seconds, bounded by seconds and by bytes.

    Frames already read stay for clips and evidence until they are too old or room is needed.
    When unread frames fill the buffer, a file's producer waits (every frame is scored), a live
    one drops the oldest frame and counts it. How old a file's read frames are is measured from
    the reader, not from the newest frame: a fast decoder must not push out the pixels of a
    segment before it is scored, or a replay would depend on luck. Live frames that waited longer
    than the staleness budget are dropped too: an alert about the past helps nobody.

    Args:
        seconds: how far back frames are kept behind the newest one.
        max_bytes: bound on pixels held, read or not.
        on_full: `wait` for files, `drop_oldest` for live sources.
        staleness_seconds: longest age of an unread live frame; None for files.
        on_gap: called with each drop, in the thread that caused it.
        condition: shared by all buffers that one reader waits on.
        clock: monotonic seconds, the clock of `Frame.mono_ns`.
    """

    def __init__(
        self,
        *,
        seconds: float,
        max_bytes: int,
        on_full: Literal["wait", "drop_oldest"],
        staleness_seconds: float | None = None,
        on_gap: Callable[[Discontinuity], None] = lambda gap: None,
        condition: threading.Condition | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._on_full = on_full
        self.staleness_seconds = staleness_seconds
        """May be changed while in use."""
        self._on_gap = on_gap
        self.condition = condition or threading.Condition()
        self._clock = clock
        self._frames: deque[Frame] = deque()
        self._unread = 0
        self._bytes = 0
        self._finished = False
        self.dropped: dict[GapCause, int] = {}

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def unread(self) -> int:
        """Frames that wait for the reader."""
        return self._unread

    @property
    def oldest_unread_seconds(self) -> float:
        """Age of the frame that has waited longest for the reader; 0 when none waits."""
        with self.condition:
            if not self._unread:
                return 0.0
            oldest = self._frames[len(self._frames) - self._unread]
            return max(0.0, self._clock() - oldest.mono_ns * SECONDS_PER_NS)

    @property
    def nbytes(self) -> int:
        """Bytes of pixels held."""
        return self._bytes

    @property
    def finished(self) -> bool:
        """True once the producer has said that nothing more comes."""
        return self._finished

    def push(self, frame: Frame) -> bool:
        """Add a frame; False if the buffer was closed. Blocks only for files."""
        gap = None
        with self.condition:
            self._evict_read(frame)
            while self._is_full(frame) and not self._finished:
                if self._on_full == "drop_oldest":
                    gap = self._drop_unread(1, "buffer_full", gap)
                else:
                    self.condition.wait(WAIT_SECONDS)
                    self._evict_read(frame)
            if self._finished:
                return False
            self._frames.append(frame)
            self._unread += 1
            self._bytes += frame.nbytes
            self.condition.notify_all()
        if gap is not None:
            self._on_gap(gap)
        return True

    def take(self, most: int) -> list[Frame]:
        """Take at most `most` of the oldest unread frames, without waiting; drop stale ones."""
        with self.condition:
            gap = self._drop_stale()
            count = min(most, self._unread)
            first = len(self._frames) - self._unread
            taken = [self._frames[first + i] for i in range(count)]
            self._unread -= count
            if count:
                self.condition.notify_all()
        if gap is not None:
            self._on_gap(gap)
        return taken

    def window(self, t_start: float, t_end: float, epoch: int) -> list[Frame]:
        """List the frames of the span that are still held, read or not."""
        with self.condition:
            return [f for f in self._frames if f.epoch == epoch and t_start <= f.t_seconds < t_end]

    def latest(self) -> Frame | None:
        """The newest frame."""
        with self.condition:
            return self._frames[-1] if self._frames else None

    def finish(self) -> None:
        """Close the buffer for writing; unread frames can still be taken."""
        with self.condition:
            self._finished = True
            self.condition.notify_all()

    def _is_full(self, frame: Frame) -> bool:
        if self._unread < LEAST_UNREAD_FRAMES:
            return False
        oldest = self._frames[len(self._frames) - self._unread]
        too_long = frame.epoch == oldest.epoch and (
            frame.t_seconds - oldest.t_seconds > self._seconds
        )
        if self._on_full == "wait":  # the other half is for frames already read
            return too_long or 2 * (self._unread + 1) * frame.nbytes > self._max_bytes
        return too_long or self._bytes + frame.nbytes > self._max_bytes

    def _evict_read(self, frame: Frame) -> None:
        while len(self._frames) > self._unread:
            oldest = self._frames[0]
            newest = frame
            # Age counts from the reader: counted from the decoder, a replay's large branch had no
            # pixels in 36 of 60 segments.
            if self._on_full == "wait" and self._unread:
                newest = self._frames[len(self._frames) - self._unread]
            old = newest.t_seconds - oldest.t_seconds > self._seconds
            if not old and self._bytes + frame.nbytes <= self._max_bytes:
                return
            self._pop()

    def _drop_stale(self) -> Discontinuity | None:
        if self.staleness_seconds is None:
            return None
        now = self._clock()
        stale = 0
        first = len(self._frames) - self._unread
        # The newest frame is kept whatever its age: something must move on.
        while stale < self._unread - 1:
            age = now - self._frames[first + stale].mono_ns * SECONDS_PER_NS
            if age <= self.staleness_seconds:
                break
            stale += 1
        if not stale:
            return None
        return self._drop_unread(stale, "staleness", None)

    def _drop_unread(
        self, count: int, cause: GapCause, earlier: Discontinuity | None
    ) -> Discontinuity:
        # Frames already read stay: segments that are being judged still need their pixels.
        read = [self._frames.popleft() for _ in range(len(self._frames) - self._unread)]
        dropped = [self._pop() for _ in range(count)]
        self._frames.extendleft(reversed(read))
        self._unread -= count
        self.dropped[cause] = self.dropped.get(cause, 0) + count
        start = dropped[0].t_seconds if earlier is None else earlier.from_seconds
        total = count + (0 if earlier is None else earlier.count)
        return Discontinuity(cause, total, start, dropped[-1].t_seconds)

    def _pop(self) -> Frame:
        frame = self._frames.popleft()
        self._bytes -= frame.nbytes
        return frame
