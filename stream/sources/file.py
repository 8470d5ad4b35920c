"""Recordings: every frame, in order, on a time line that only goes forward."""

from __future__ import annotations

import heapq
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Self

import av
import av.error

from egomon.errors import SourceOpenError
from egomon.stream.frame import Grab, SourceInfo
from egomon.stream.redact import redact
from egomon.stream.source import Gap, SilentListener, SourceListener, StateChange
from egomon.stream.sources.pyav import Converter, open_container, video_stream

logger = logging.getLogger(__name__)

LOOKAHEAD_FRAMES = 8
"""Some writers store decoding times as presentation times: within this many frames the times are
put in order, the pictures already are."""
MOST_ERRORS_IN_A_ROW = 30
GAP_SECONDS = 2.0
"""A forward jump of at least this, and of many frame periods, begins a new epoch."""
GAP_PERIODS = 20
FALLBACK_FPS = 25.0


class VideoFile:
    """A video file, or a recording served over HTTP.

    Times that go back are put in order where the writer mixed them up within a few frames (the
    pictures come in the right order anyway); a frame whose time still does not advance is dropped
    and counted as `out_of_order`. Damaged packets are skipped and counted as `decode_error`.

    Raises:
        SourceOpenError: missing, not a video, or without a video stream.
    """

    def __init__(
        self,
        reference: str,
        *,
        name: str,
        listener: SourceListener | None = None,
        timeout: tuple[float, float] | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        wall_clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._reference = reference
        self._listener = listener or SilentListener()
        self._clock_ns, self._wall_clock_ns = clock_ns, wall_clock_ns
        self._closed = False
        if "://" not in reference and os.path.isdir(reference):
            raise SourceOpenError(
                f"{reference} is a folder; give one video file", code="STREAM_NOT_FOUND"
            )
        self._container = open_container(reference, timeout=timeout, options={})
        try:
            self._stream = video_stream(self._container, reference)
            # Frame threads decode twice as fast; the delay they add does not matter in a file.
            self._stream.thread_type = "AUTO"
            self._info = self._describe(name)
        except BaseException:
            self._container.close()
            raise
        self._period = 1.0 / (self._info.fps or FALLBACK_FPS)
        self._convert = Converter()
        self._grabs = self._read_all()

    @property
    def info(self) -> SourceInfo:
        """See `Source`."""
        return self._info

    def read(self) -> Grab | None:
        """See `Source`."""
        return None if self._closed else next(self._grabs, None)

    def close(self) -> None:
        """See `Source`; the container itself is closed by the reading thread."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
        self._grabs.close()
        self._container.close()

    def _describe(self, name: str) -> SourceInfo:
        stream, container = self._stream, self._container
        fps = float(stream.average_rate) if stream.average_rate else None
        duration = container.duration / av.time_base if container.duration else None
        context = stream.codec_context
        return SourceInfo(
            name=name,
            uri=redact(self._reference),
            kind="file",
            width=context.width,
            height=context.height,
            fps=fps,
            duration_seconds=duration,
        )

    def _read_all(self) -> Generator[Grab, None, None]:
        self._listener.on_state(StateChange("online"))
        index, epoch, late, moved = 0, 0, 0, 0
        first: float | None = None
        last: float | None = None
        try:
            for frame, t, was_moved in self._in_order():
                first = t if first is None else first
                t -= first
                moved += was_moved
                index += 1
                if last is not None and t <= last:
                    late += 1
                    continue
                if last is not None and t - last >= max(GAP_SECONDS, GAP_PERIODS * self._period):
                    epoch += 1
                    self._listener.on_gap(Gap("pts_jump", 0, last, t))
                last = t
                yield Grab(
                    t_seconds=t,
                    mono_ns=self._clock_ns(),
                    wall_ns=self._wall_clock_ns(),
                    index=index - 1,
                    epoch=epoch,
                    to_rgb=self._convert.deferred(frame),
                )
        finally:
            self._container.close()
        self._account(late, moved, last)
        self._listener.on_state(StateChange("ended"))

    def _account(self, late: int, moved: int, last: float | None) -> None:
        if late:
            self._listener.on_gap(Gap("out_of_order", late, 0.0, last))
        if moved:
            message = f"{moved} frames carried times out of order; they were put in order"
            logger.info("%s: %s", self._info.uri, message)
            self._listener.on_state(StateChange("online", "STREAM_RETIMED", message))

    def _in_order(self) -> Iterator[tuple[av.VideoFrame, float, bool]]:
        """Frames as decoded, each with the smallest time of the ones around it."""
        frames: deque[tuple[av.VideoFrame, float]] = deque()
        times: list[float] = []

        def pop() -> tuple[av.VideoFrame, float, bool]:
            frame, own = frames.popleft()
            t = heapq.heappop(times)
            return frame, t, t != own

        for frame, t in self._timed():
            frames.append((frame, t))
            heapq.heappush(times, t)
            if len(frames) > LOOKAHEAD_FRAMES:
                yield pop()
        while frames:
            yield pop()

    def _timed(self) -> Iterator[tuple[av.VideoFrame, float]]:
        """Decoded frames with seconds; a missing time goes on at the nominal rate."""
        previous: float | None = None
        for frame in self._decoded():
            if frame.pts is not None and frame.time_base:
                t = float(frame.pts * frame.time_base)
            else:
                t = 0.0 if previous is None else previous + self._period
            previous = t
            yield frame, t

    def _decoded(self) -> Iterator[av.VideoFrame]:
        errors = 0
        packets = self._container.demux(self._stream)
        while not self._closed:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                frames = packet.decode()
            except av.error.EOFError:
                return
            except av.error.FFmpegError as error:
                errors += 1
                self._listener.on_gap(Gap("decode_error", 1))
                logger.debug("%s: damaged data: %s", self._info.uri, error)
                if errors >= MOST_ERRORS_IN_A_ROW:
                    return
                continue
            if frames:
                errors = 0
            yield from frames
