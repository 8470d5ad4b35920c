"""RTSP, RTMP, HTTP, SRT, UDP and TCP streams, through FFmpeg."""

from __future__ import annotations

import threading
import time
from typing import Any
from urllib.parse import urlsplit

from av.codec.context import Flags

from egomon.errors import SourceLostError, SourceOpenError
from egomon.stream.frame import SourceInfo
from egomon.stream.redact import redact
from egomon.stream.source import Source
from egomon.stream.source_options import OpenContext, SourceOptions
from egomon.stream.sources.decode import (
    Converter,
    VideoDecoder,
    open_container,
    video_stream,
)
from egomon.stream.sources.device_thread import Cancelled, DeviceThread, Future
from egomon.stream.sources.file import VideoFile
from egomon.stream.sources.reconnecting import RawFrame, Reconnecting

LATER_SECONDS = 1.0
"""FFmpeg's own time-outs are longer by this many seconds: they only end an abandoned thread."""
WITHOUT_TIMES = {"mpjpeg", "mjpeg", "h264", "hevc", "m4v", "mpegvideo", "image2pipe"}
"""Formats whose times FFmpeg makes up from a guessed rate: arrival is nearer to the truth."""

ENDLESS = {"mpjpeg", "mjpeg", "hls", "hls,applehttp", "dash"}
"""Formats whose size over HTTP means nothing: cameras invent one, playlists have their own."""
RECONNECTING_FILE = {"reconnect": "1", "reconnect_delay_max": "4"}
"""Options with which FFmpeg asks for the rest of a recording after a broken connection."""


def open_stream(reference: str, context: OpenContext) -> Source:
    """Open a stream; an HTTP address with an end is a recording unless `options.kind` is `live`.

    Raises:
        SourceOpenError: it does not answer, refuses, or holds no video.
    """
    kind, options = context.options.kind, context.options
    scheme = urlsplit(reference).scheme
    if kind == "file" or (kind is None and scheme in ("http", "https")):
        recording = _open_recording(reference, context)
        if recording is not None:
            return recording
    info = SourceInfo(context.name, redact(reference), "live", 0, 0, None, None)
    return Reconnecting(info, lambda event: Stream(reference, options, event), context)


def _open_recording(reference: str, context: OpenContext) -> VideoFile | None:
    """Open the recording at this address; None if it is a live stream."""
    options, kind, stop = context.options, context.options.kind, context.stop
    stream = Stream(reference, options, stop)
    try:
        try:
            stream.open(live=False)
        except SourceOpenError:
            if options.wait_source and kind is None:
                return None  # not there yet: waiting is for live sources
            raise
        except Cancelled:
            text = f"{redact(reference)}: closed while connecting"
            raise SourceOpenError(text, code="STREAM_TIMEOUT") from None
        if kind is None and not _is_finite(stream.container):
            stream.close()
            return None
        remote = (stream.container, stream.thread, stop)
        return VideoFile(
            reference,
            name=context.name,
            listener=context.listener,
            remote=remote,
            packets=options.packets,
        )
    except BaseException:
        stream.close()
        raise


def _is_finite(container: Any) -> bool:
    """Return whether an open HTTP address has an end: a duration, or a size in a file format."""
    if container.duration:
        return True
    return container.size > 0 and container.format.name not in ENDLESS


class Stream:
    """One connection to one address; see `Connection`."""

    def __init__(self, reference: str, options: SourceOptions, stop: threading.Event) -> None:
        self._reference, self._options, self._stop = reference, options, stop
        self._shown = redact(reference)
        self._convert = Converter()
        self._pending: Future[RawFrame | None] | None = None
        self._lost = 0
        self._reader: VideoDecoder | None = None
        self._arrival_times = False
        self.container: Any = None
        self.thread = DeviceThread(f"stream {self._shown}", self._release)

    def open(self, *, live: bool = True) -> tuple[int, int, float | None]:
        """See `Connection`."""
        answer = self.thread.submit(lambda: self._connect(live))
        if not answer.wait(self._options.open_timeout_seconds, self._stop):
            text = f"{self._shown} did not answer within {self._options.open_timeout_seconds:g} s"
            raise SourceOpenError(text, code="STREAM_TIMEOUT")
        return answer.result()

    def read(self, timeout_seconds: float) -> RawFrame | None:
        """See `Connection`."""
        if self._pending is None:
            self._pending = self.thread.submit(self._next)
        if not self._pending.wait(timeout_seconds, self._stop):
            return None
        answer, self._pending = self._pending, None
        frame = answer.result()
        if frame is None:
            raise SourceLostError(f"{self._shown} was closed by its server", code="STREAM_ENDED")
        return frame

    def close(self) -> None:
        """See `Connection`."""
        self.thread.close()

    def _connect(self, live: bool) -> tuple[int, int, float | None]:
        open_seconds = self._options.open_timeout_seconds + LATER_SECONDS
        read_seconds = self._options.read_timeout_seconds + LATER_SECONDS
        container = open_container(
            self._reference,
            timeout=(open_seconds, read_seconds),
            options=_ffmpeg_options(self._reference, live),
        )
        self.container = container
        stream = video_stream(container, self._shown)
        if live:
            # Frame threads would hold back one frame for each thread.
            stream.thread_type = "SLICE"
            stream.codec_context.flags |= Flags.low_delay
        self._arrival_times = container.format.name in WITHOUT_TIMES
        self._reader = VideoDecoder(container, stream, self._shown, self._options.packets)
        rate = stream.average_rate
        width, height = stream.codec_context.width, stream.codec_context.height
        return width, height, float(rate) if rate else None

    def _next(self) -> RawFrame | None:
        assert self._reader is not None
        frame = self._reader.next()
        lost, self._lost = self._reader.errors - self._lost, self._reader.errors
        if frame is None:
            return None
        pts = None if self._arrival_times else self._reader.seconds(frame)
        mono_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        return RawFrame(pts, mono_ns, wall_ns, self._convert.deferred(frame), lost)

    def _release(self) -> None:
        if self.container is not None:
            self.container.close()


def _ffmpeg_options(reference: str, live: bool) -> dict[str, str]:
    scheme = urlsplit(reference).scheme
    if not live:
        return dict(RECONNECTING_FILE) if scheme in ("http", "https") else {}
    options = {"fflags": "nobuffer", "flags": "low_delay", "max_delay": "500000"}
    if scheme in ("rtsp", "rtsps"):
        options["rtsp_transport"] = "tcp"
    return options
