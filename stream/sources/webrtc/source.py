"""`phone`: the camera of a phone's browser, or of any program that speaks WHIP."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

import av
import av.error
from av.codec.context import Flags

from egomon.errors import SourceLostError, SourceOpenError, UsageError
from egomon.stream.frame import SourceInfo
from egomon.stream.source import Discontinuity
from egomon.stream.source_options import OpenContext, SourceOptions
from egomon.stream.sources.decoding.container import MOST_PIXELS
from egomon.stream.sources.decoding.decode import MOST_ERRORS_IN_A_ROW, Converter
from egomon.stream.sources.device_thread import CHECK_SECONDS, Cancelled
from egomon.stream.sources.network.connection import RawFrame
from egomon.stream.sources.network.reconnecting import Reconnecting
from egomon.stream.sources.webrtc.pictures import EncodedPicture
from egomon.stream.sources.webrtc.place import PhonePlace
from egomon.stream.sources.webrtc.server import PhoneAddress, PhoneServer
from egomon.stream.sources.webrtc.session import WhipSession

DEFAULT_HOST, DEFAULT_PORT = "0.0.0.0", 8443
"""The local network, by the word `phone` alone."""
REMIND_SECONDS = 30.0
"""Every so often it is said that no phone is there."""
DECODERS = {"VP8": "vp8", "H264": "h264"}


def listen_at(reference: str, options: SourceOptions) -> PhoneAddress:
    """Where `phone` or `phone://HOST:PORT` listens.

    Raises:
        UsageError: it is neither.
    """
    try:
        parts = urlsplit(reference)
        host, port = parts.hostname or DEFAULT_HOST, parts.port
    except ValueError:
        parts = None
    if parts is None or parts.path not in ("", "/", "phone"):
        raise UsageError(f"{reference!r}: write phone, or phone://HOST:PORT")
    return PhoneAddress(
        "127.0.0.1" if host == "localhost" else host,
        DEFAULT_PORT if port is None else port,
        options.certificate,
        options.private_key,
    )


def open_phone(reference: str, context: OpenContext) -> PhoneSource:
    """Serve the page and wait for the phone.

    Raises:
        AddressInUseError: another program listens there.
        ConfigError: the address or the certificate cannot be used.
        UsageError: it is no such address.
    """
    server, place = PhoneServer.place(listen_at(reference, context.options), context.name)
    try:
        return PhoneSource(server, place, context)
    except BaseException:
        server.leave(place)
        raise


class PhoneSource(Reconnecting):
    """Waits for its camera, and for its return."""

    def __init__(self, server: PhoneServer, place: PhonePlace, context: OpenContext) -> None:
        uri = server.url
        # Opening is waiting: it must not hold up the start, and no pause comes before it.
        options = replace(context.options, wait_source=True)
        self._server, self._place, self._left = server, place, False
        super().__init__(
            SourceInfo(context.name, uri, "live", 0, 0, None, None),
            lambda stop: PhoneStream(uri, server, place, stop, self._dropped),
            replace(context, options=options),
            wait=lambda stop, _: stop.is_set(),
        )

    @property
    def link(self) -> str:
        """Address of the page for one browser; a secret."""
        return self._server.link_of(self._place)

    @property
    def whip(self) -> tuple[str, str]:
        """Address and bearer token for programs that speak WHIP; the token is a secret."""
        return f"{self._server.url}whip", self._place.key

    def _dropped(self, count: int) -> None:
        self._media.skip(count)
        self._listener.on_gap(Discontinuity("buffer_full", count))

    def _finish(self) -> None:
        super()._finish()
        if not self._left:
            self._left = True
            self._server.leave(self._place)


class PhoneStream:
    """One visit of the camera; decodes in the thread that reads it."""

    def __init__(
        self,
        shown: str,
        server: PhoneServer,
        place: PhonePlace,
        stop: threading.Event,
        on_dropped: Callable[[int], None],
    ) -> None:
        self._shown, self._server, self._place, self._stop = shown, server, place, stop
        self._on_dropped = on_dropped
        self._session: WhipSession | None = None
        self._convert = Converter()
        self._decoder: av.VideoCodecContext | None = None
        self._codec = ""
        self._lost = self._in_a_row = 0

    @property
    def packets(self) -> int:
        """See `Connection`."""
        return 0 if self._session is None else self._session.pictures.count

    def open(self) -> tuple[int, int, float | None]:
        """See `Connection`; waits for the camera. Its size is known with its first picture."""
        for _ in range(round(REMIND_SECONDS / CHECK_SECONDS)):
            if self._stop.is_set():
                raise Cancelled
            if not self._server.is_alive:
                raise SourceLostError(f"the server of the page {self._shown} has crashed")
            self._session = self._place.take(CHECK_SECONDS)
            if self._session is not None:
                return 0, 0, None
        raise SourceOpenError(f"no phone sends to {self._shown} yet", code="STREAM_NOT_FOUND")

    def read(self, timeout_seconds: float) -> RawFrame | None:
        """See `Connection`."""
        assert self._session is not None
        picture = self._session.pictures.take(timeout_seconds)
        if dropped := self._session.pictures.take_dropped():
            self._on_dropped(dropped)
        if picture is None:
            if self._session.pictures.closed or not self._server.is_alive:
                raise SourceLostError(f"the camera has left {self._shown}", code="STREAM_ENDED")
            return None
        frame = self._decode(picture)
        if frame is None:
            return None
        lost, self._lost = self._lost, 0
        return RawFrame(
            picture.pts_seconds,
            picture.mono_ns,
            picture.wall_ns,
            self._convert.deferred(frame),
            lost,
            size=(frame.width, frame.height),
        )

    def close(self) -> None:
        """See `Connection`."""
        if self._session is not None:
            self._session.close()

    def _decode(self, picture: EncodedPicture) -> av.VideoFrame | None:
        try:
            if self._decoder is None or picture.codec != self._codec:
                self._decoder, self._codec = _decoder(picture.codec), picture.codec
            packet = av.Packet(picture.data)
            frames = self._decoder.decode(packet)
        except av.error.FFmpegError:
            assert self._session is not None
            self._lost += 1
            self._in_a_row += 1
            self._session.ask_for_key_frame()
            if self._in_a_row >= MOST_ERRORS_IN_A_ROW:
                raise SourceLostError(
                    f"{self._shown} sends pictures that are damaged or have more than 32 "
                    "megapixels",
                    code="STREAM_DAMAGED",
                ) from None
            return None
        self._in_a_row = 0
        return frames[-1] if frames else None


def _decoder(codec: str) -> av.VideoCodecContext:
    made = av.CodecContext.create(DECODERS[codec], "r")
    assert isinstance(made, av.VideoCodecContext)
    made.options = {"max_pixels": str(MOST_PIXELS)}
    made.flags |= Flags.low_delay
    # Threads would hold pictures back, and cost more than they gain at a phone's size.
    made.thread_count = 1
    return made
