"""Recordings: every frame, in order, on a time line that only goes forward."""

from __future__ import annotations

import heapq
import logging
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Any

import av

from egomon.errors import SourceLostError, SourceOpenError
from egomon.stream.frame import Grab, SourceInfo
from egomon.stream.media_clock import BACK_SECONDS, FALLBACK_FPS, MediaClock
from egomon.stream.packet_ring import PacketRing
from egomon.stream.redact import redact
from egomon.stream.source import (
    Discontinuity,
    SilentListener,
    Source,
    SourceListener,
    StateChange,
)
from egomon.stream.source_options import OpenContext
from egomon.stream.sources.closable import ClosableSource
from egomon.stream.sources.decoding.container import (
    open_container,
    silence_ffmpeg,
    video_stream,
)
from egomon.stream.sources.decoding.decode import Converter, VideoDecoder
from egomon.stream.sources.device_thread import Cancelled, DeviceThread
from egomon.stream.sources.reference import is_pipe, local_path, printable
from egomon.units import SECONDS_PER_NS

logger = logging.getLogger(__name__)

LOOKAHEAD_FRAMES = 8
"""Some writers store decoding times as presentation times: within this many frames the times are
put in order, the pictures already are."""

FRAME_THREADS_PIXELS = 1 << 18
"""Size of a picture from which frame threads decode, twice as fast. Smaller ones cost more to hand
over than that saves: 128 of 224 x 224 took 41 ms of CPU with them and 22 without, 90 of 360 x 360
took 65 and 38, and of wall time likewise."""


def open_file(reference: str, context: OpenContext) -> Source:
    """Open a recording by its path, or what comes out of a pipe; see `VideoFile`."""
    path = local_path(reference) or reference
    if is_pipe(path):
        from egomon.stream.sources.pipe import open_pipe

        return open_pipe(path, context)
    return VideoFile(
        path, name=context.name, listener=context.listener, packets=context.options.packets
    )


class VideoFile(ClosableSource):
    """A video file, or a recording served over HTTP.

    Times that go back are put in order where the writer mixed them up within a few frames: the
    pictures come in the right order anyway, so no frame is lost. This is said once (state code
    STREAM_RETIMED) and by an `out_of_order` gap of 0 lost frames at the end. A frame whose time
    still does not advance is dropped and counted as `out_of_order`. Damaged packets are skipped
    and counted as `decode_error`; ten minutes of them in a row, or a second at the end, end it with
    STREAM_DAMAGED. A missing time goes on at the nominal rate; time begins at the first frame
    shown.

    Args:
        reference: path or URL.
        name: topic name.
        listener: hears states and gaps.
        remote: an already open container and the thread that owns it, for network recordings.

    Raises:
        SourceOpenError: missing, not a video, without a video stream, or without one good frame.
    """

    def __init__(
        self,
        reference: str,
        *,
        name: str,
        listener: SourceListener | None = None,
        remote: tuple[Any, DeviceThread, threading.Event] | None = None,
        packets: PacketRing | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        wall_clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        super().__init__(remote[2] if remote else None)
        self._shown = redact(printable(reference))
        self._listener = listener or SilentListener()
        self._clock_ns, self._wall_clock_ns = clock_ns, wall_clock_ns
        self._thread = remote[1] if remote else None
        if remote is None:
            _check_path(reference)
        # As `file:`, no part of a name is taken for a protocol.
        self._container = (
            remote[0] if remote else open_container(f"file:{reference}", options={}, again=True)
        )
        self._moved = self._errors = 0
        self._reason: tuple[str, str] | tuple[()] = ()
        try:
            self._stream = video_stream(self._container, self._shown)
            self._convert = Converter(self._stream.sample_aspect_ratio)
            # The delay that frame threads add does not matter in a file.
            if self._stream.width * self._stream.height >= FRAME_THREADS_PIXELS:
                self._stream.thread_type = "AUTO"
            self._packets = packets
            self._reader = VideoDecoder(self._container, self._stream, self._shown, packets)
            self._first = self._decode_first()
            self._info = self._describe(name, self._first)
        except BaseException:
            self._release()
            raise
        self._media = MediaClock(self._listener, live=False, fps=self._info.fps)
        self._period = 1.0 / (self._info.fps or FALLBACK_FPS)
        self._grabs = self._read_all()

    @property
    def info(self) -> SourceInfo:
        """See `Source`."""
        return self._info

    def read(self) -> Grab | None:
        """See `Source`."""
        with self._lock:
            grab = None
            if not self._stop.is_set():
                try:
                    grab = next(self._grabs, None)
                except Cancelled:
                    grab = None
            if grab is None or self._stop.is_set():
                self._finish()
                return None
            return grab

    def _finish(self) -> None:
        self._grabs.close()
        self._release()

    def _release(self) -> None:
        silence_ffmpeg()  # the frame threads end with the decoder
        if self._thread is None:
            self._container.close()
        else:
            self._thread.close()  # it owns the container

    def _decode_first(self) -> av.VideoFrame:
        try:
            frame = self._decode()
        except (SourceLostError, Cancelled):
            frame = None
        if frame is None:
            raise SourceOpenError(
                f"{self._shown} holds no frame that can be decoded", code="STREAM_DAMAGED"
            )
        return frame

    def _decode(self) -> av.VideoFrame | None:
        if self._thread is None:
            return self._reader.next()
        answer = self._thread.submit(self._reader.next)
        answer.wait(float("inf"), self._stop)  # FFmpeg's time-outs end it
        return answer.result()

    def _describe(self, name: str, first: av.VideoFrame) -> SourceInfo:
        rate, duration = self._stream.average_rate, self._container.duration
        width, height = self._convert.shown_size(first)
        return SourceInfo(
            name=name,
            uri=self._shown,
            kind="file",
            width=width,
            height=height,
            fps=float(rate) if rate else None,
            duration_seconds=duration / av.time_base if duration else None,
        )

    def _read_all(self) -> Generator[Grab, None, None]:
        self._listener.on_state(StateChange("online"))
        t = 0.0
        try:
            for frame, pts in self._in_order():
                arrival_ns = self._clock_ns()
                stamp = self._media.stamp(pts, arrival_ns * SECONDS_PER_NS)
                if stamp is None:
                    continue
                t = stamp.t_seconds
                yield Grab(
                    t_seconds=t,
                    mono_ns=arrival_ns,
                    wall_ns=self._wall_clock_ns(),
                    index=stamp.index,
                    epoch=stamp.epoch,
                    to_rgb=self._convert.deferred(frame),
                    pts_seconds=pts,
                )
        finally:
            self._account(t)
            self._listener.on_state(StateChange("ended", *self._reason))

    def _account(self, t_seconds: float) -> None:
        self._report_errors()
        self._media.finish()
        if self._moved:
            self._listener.on_gap(Discontinuity("out_of_order", 0, 0.0, t_seconds))
            logger.info("%s: times of %d frames put in order", self._shown, self._moved)

    def _report_errors(self) -> None:
        new = self._reader.errors - self._errors
        if new:
            self._errors += new
            self._media.skip(new)
            self._listener.on_gap(Discontinuity("decode_error", new))

    def _in_order(self) -> Iterator[tuple[av.VideoFrame, float]]:
        """Frames as decoded, each with the smallest time of the ones around it."""
        frames: deque[tuple[av.VideoFrame, float]] = deque()
        times: list[float] = []

        def pop() -> tuple[av.VideoFrame, float]:
            frame, own = frames.popleft()
            t = heapq.heappop(times)
            if t != own:
                self._moved_one()
            return frame, t

        for frame, t in self._timed():
            # A clock that starts anew (joined recordings) is no mix-up: finish the part before.
            while frames and t < frames[-1][1] - BACK_SECONDS:
                yield pop()
            frames.append((frame, t))
            heapq.heappush(times, t)
            if len(frames) > LOOKAHEAD_FRAMES:
                yield pop()
        while frames:
            yield pop()

    def _moved_one(self) -> None:
        if not self._moved:
            message = f"{self._shown} carries times out of order; they are put in order"
            self._listener.on_state(StateChange("online", "STREAM_RETIMED", message))
            if self._packets is not None:
                self._packets.refuse()  # as sent, they would be shown at the wrong times
        self._moved += 1

    def _timed(self) -> Iterator[tuple[av.VideoFrame, float]]:
        """Decoded frames with seconds; a missing time goes on at the nominal rate."""
        previous: float | None = None
        frame: av.VideoFrame | None = self._first
        del self._first
        while frame is not None:
            self._report_errors()
            t = self._reader.seconds(frame)
            if t is None:
                t = 0.0 if previous is None else previous + self._period
            previous = t
            yield frame, t
            try:
                frame = self._decode()
            except SourceLostError as error:  # the end, but not of the frames still in hand
                self._reason = (error.code, str(error))
                return


def _check_path(reference: str) -> None:
    """Refuse what would block or confuse FFmpeg.

    Raises:
        SourceOpenError: not there, a folder, a device, or empty.
    """
    shown = printable(reference)
    try:
        found = os.stat(reference)
    except (OSError, ValueError):
        text = f"{shown} not found; give the path of a video file"
        raise SourceOpenError(text, code="STREAM_NOT_FOUND") from None
    if stat.S_ISDIR(found.st_mode):
        text = f"{shown} is a folder; give one video file"
        raise SourceOpenError(text, code="STREAM_NOT_FOUND")
    if not stat.S_ISREG(found.st_mode):
        text = f"{shown} is no ordinary file; give a video file"
        raise SourceOpenError(text, code="STREAM_NOT_FOUND")
    if found.st_size == 0:
        raise SourceOpenError(f"{shown} is empty", code="STREAM_DAMAGED")
