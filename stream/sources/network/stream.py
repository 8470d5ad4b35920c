"""RTSP, RTMP, HTTP, UDP and TCP streams, through FFmpeg."""

from __future__ import annotations

import re
import threading
from typing import Any, Protocol
from urllib.parse import urlsplit

from egomon.errors import SourceLostError, SourceOpenError, UsageError
from egomon.stream.frame import SourceInfo
from egomon.stream.redact import redact
from egomon.stream.source import Source
from egomon.stream.source_options import OpenContext, SourceOptions
from egomon.stream.sources.decoding.container import open_container
from egomon.stream.sources.decoding.frame_reader import ContainerReader, FrameReader
from egomon.stream.sources.device_thread import Cancelled, DeviceThread, Future
from egomon.stream.sources.file import VideoFile
from egomon.stream.sources.network.connection import RawFrame
from egomon.stream.sources.network.http import HttpBytes, content_of, refuse_page
from egomon.stream.sources.network.mjpeg import JpegReader
from egomon.stream.sources.network.reconnecting import Reconnecting

LATER_SECONDS = 1.0
"""FFmpeg's own time-outs are this much longer than ours: they only end an abandoned thread."""
READ_SECONDS = 10.0
"""FFmpeg waits at least so long for data: slow cameras send a picture every few seconds. Longer
would keep a dead connection open, and some cameras allow one."""

ENDLESS = {"hls", "hls,applehttp", "dash"}
"""Formats whose size over HTTP says nothing: playlists have their own."""
RECONNECTING_FILE = {"reconnect": "1", "reconnect_delay_max": "4"}
"""A server that hangs up in the middle of a recording is asked for the rest of it."""
LIVE = {"flags": "low_delay", "max_delay": "500000"}
# FFmpeg's default analyses 5 s of video and 20 pictures; a slow camera then never opens. Its
# `nobuffer` throws the analysed packets away, and with them the key frame (the next: 20 s later).
PROBE = {"analyzeduration": "500000", "fpsprobesize": "0"}
PROBE_RTSP = {"probesize": "32"}
"""RTSP describes its streams beforehand: one packet is enough."""
_ODD_PASSWORD = re.compile(r"://[^/?#@:]*:(?!\d*[/?#])[^@/?#]*[/?#][^@]*@")


def open_stream(reference: str, context: OpenContext) -> Source:
    """Open a stream; an HTTP address with an end is a recording unless `options.kind` is `live`.

    Raises:
        SourceOpenError: it does not answer, refuses, or holds no video.
        UsageError: its password holds a character that ends an address.
    """
    if _ODD_PASSWORD.search(reference):
        raise UsageError(
            f"{redact(reference)}: in a password write # as %23, / as %2F, ? as %3F and @ as %40"
        )
    kind, options = context.options.kind, context.options
    first: Stream | None = options.opened if isinstance(options.opened, Stream) else None
    scheme = urlsplit(reference).scheme.lower()
    if kind == "file" or (kind is None and scheme in ("http", "https")):
        first = first or open_now(reference, context)
        if first is not None and (kind == "file" or first.is_finite):
            return recording_of(reference, first, context)
    info = SourceInfo(context.name, redact(reference), "live", 0, 0, None, None)
    opened = [first] if first is not None else []

    def connect(stop: threading.Event) -> Stream:
        stream = opened.pop() if opened else Stream(reference, options, stop)
        stream.stop = stop
        return stream

    return Reconnecting(info, connect, context)


def open_now(reference: str, context: OpenContext) -> Stream | None:
    """An open connection; None if it is not there yet and may come later.

    Raises:
        SourceOpenError: it cannot be opened, and the options do not say to wait for it.
    """
    options = context.options
    stream = Stream(reference, options, context.stop)
    try:
        stream.open()
    except SourceOpenError:
        if options.wait_source and options.kind is None:
            return None  # waiting is for live sources
        raise
    except Cancelled:
        text = f"{redact(reference)}: closed while connecting"
        raise SourceOpenError(text, code="STREAM_TIMEOUT") from None
    return stream


def recording_of(reference: str, stream: Stream, context: OpenContext) -> VideoFile:
    """What an open connection gives, read as a file; the file closes the connection.

    Raises:
        SourceOpenError: it holds no video.
    """
    try:
        return VideoFile(
            reference,
            name=context.name,
            listener=context.listener,
            remote=(stream.container, stream.thread, context.stop),
            packets=context.options.packets,
        )
    except BaseException:
        stream.close()
        raise


class Bytes(Protocol):
    """What FFmpeg reads where it does not connect by itself."""

    def read(self, nbytes: int) -> bytes:
        """At most so many bytes; none at the end."""

    def close(self) -> None:
        """Release it."""


class Stream:
    """One connection to one address; see `Connection`."""

    def __init__(self, reference: str, options: SourceOptions, stop: threading.Event) -> None:
        self._reference, self._options, self.stop = reference, options, stop
        self._shown = redact(reference)
        self._pending: Future[RawFrame | None] | None = None
        self._reader: FrameReader | None = None
        self._owner: Bytes | None = None
        self._released = threading.Event()
        self.container: Any = None
        """FFmpeg's; None while not open, and for pictures one by one."""
        self.is_finite = False
        """Whether what is open has an end: a duration, or so many bytes of a file format."""
        self.thread = DeviceThread(f"stream {self._shown}", self._release)

    @property
    def packets(self) -> int:
        """See `Connection`."""
        return 0 if self._reader is None else self._reader.packets

    def open(self) -> tuple[int, int, float | None]:
        """See `Connection`; it is closed where that fails."""
        if self._reader is None and self.container is None:
            answer = self.thread.submit(self._connect)
            try:
                if not answer.wait(self._options.open_timeout_seconds, self.stop):
                    seconds = self._options.open_timeout_seconds
                    text = f"{self._shown} did not answer within {seconds:g} s"
                    raise SourceOpenError(text, code="STREAM_TIMEOUT")
                answer.result()
            except BaseException:
                self.close()
                raise
        if self._reader is None:
            return 0, 0, None
        return (*self._reader.size, self._reader.fps)

    def read(self, timeout_seconds: float) -> RawFrame | None:
        """See `Connection`."""
        if self._pending is None:
            self._pending = self.thread.submit(self._next)
        if not self._pending.wait(timeout_seconds, self.stop):
            return None
        answer, self._pending = self._pending, None
        frame = answer.result()
        if frame is None:
            raise SourceLostError(f"{self._shown} was closed by the other end", code="STREAM_ENDED")
        return frame

    def close(self) -> None:
        """See `Connection`."""
        self._released.set()
        self.thread.close()

    def _connect(self) -> None:
        scheme = urlsplit(self._reference).scheme.lower()
        if self._options.kind == "file":
            self._recording()
        elif scheme in ("http", "https"):
            self._connect_http()
        elif scheme in ("rtsp", "rtsps"):
            self._live(self._open_rtsp())
        else:
            self._live(self._open(LIVE | PROBE))

    def _connect_http(self) -> None:
        body = self._ask()
        try:
            head = body.head()
            content = content_of(head, ended=body.ended)
            if content == "page":
                raise refuse_page(self._shown)
            if content == "pictures":
                self._reader = JpegReader(body, self._ask, self._options.fps, self._shown)
                return
            if content == "other" and not body.size:
                # Only this connection shows it: some servers have no second one.
                self._owner = body
                self._live(self._open(PROBE, file=body))
                self.is_finite = bool(self.container.duration)
                return
        except SourceLostError as error:
            body.close()
            raise SourceOpenError(str(error), code=error.code) from None
        except BaseException:
            body.close()
            raise
        body.close()
        # FFmpeg wants .m3u8 in the address, too, unless it is told.
        format = "hls" if head.lstrip().startswith(b"#EXTM3U") else None
        if self._options.kind == "live":
            self._live(self._open(LIVE | PROBE, format=format))
        else:
            self._recording(format)

    def _recording(self, format: str | None = None) -> None:
        http = urlsplit(self._reference).scheme.lower() in ("http", "https")
        self.container = self._open(RECONNECTING_FILE if http else {}, format=format)
        sized = self.container.size > 0 and self.container.format.name not in ENDLESS
        self.is_finite = bool(self.container.duration) or sized
        if not self.is_finite and self._options.kind is None:
            self._live(self.container)

    def _live(self, container: Any) -> None:
        self.container = container
        self._reader = ContainerReader(container, self._shown, self._options.packets)

    def _ask(self) -> HttpBytes:
        return HttpBytes(self._reference, self._shown, self._timeouts)

    def _open_rtsp(self) -> Any:
        transport = self._options.rtsp_transport
        common = LIVE | PROBE_RTSP
        if transport != "auto":
            return self._open(common | {"rtsp_transport": transport})
        try:
            # TCP first, then what the server offers when it refuses with 461.
            return self._open(common | {"rtsp_flags": "prefer_tcp"})
        except SourceOpenError as error:
            if error.code in ("STREAM_AUTH_FAILED", "STREAM_NOT_FOUND", "STREAM_TIMEOUT"):
                raise
            try:  # servers that refuse it in another way
                return self._open(common | {"rtsp_transport": "udp"})
            except SourceOpenError:
                raise error from None

    def _open(
        self, options: dict[str, str], file: Bytes | None = None, format: str | None = None
    ) -> Any:
        return open_container(
            self._reference, timeout=self._timeouts, options=options, file=file, format=format
        )

    @property
    def _timeouts(self) -> tuple[float, float]:
        read = max(self._options.read_timeout_seconds, READ_SECONDS) + LATER_SECONDS
        return self._options.open_timeout_seconds + LATER_SECONDS, read

    def _next(self) -> RawFrame | None:
        assert self._reader is not None
        return self._reader.next()

    def _release(self) -> None:
        for each in (self._reader or self.container, self._owner):
            if each is not None:
                each.close()
        # The thread and this object hold each other until the collector comes; a decoder with its
        # threads and pictures must not wait for it.
        self._reader = self.container = self._owner = None
        if self._pending is not None:
            self._pending.forget()
