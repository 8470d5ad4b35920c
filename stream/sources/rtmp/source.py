"""`rtmp+listen://HOST:PORT/KEY`: a camera that pushes RTMP, as most worn cameras can."""

from __future__ import annotations

import threading
from dataclasses import replace
from urllib.parse import unquote, urlsplit

from egomon.errors import SourceOpenError, UsageError
from egomon.stream.frame import SourceInfo
from egomon.stream.source_options import OpenContext, SourceOptions
from egomon.stream.sources.device_thread import CHECK_SECONDS, Cancelled
from egomon.stream.sources.network.reconnecting import Reconnecting
from egomon.stream.sources.network.stream import Stream
from egomon.stream.sources.rtmp.server import RtmpServer, StreamSlot

REMIND_SECONDS = 30.0
"""Every so often it is said that no camera is there."""


def open_rtmp(reference: str, context: OpenContext) -> RtmpSource:
    """Listen for the camera that gives this key.

    Raises:
        AddressInUseError: another program listens there.
        UsageError: the address has no port or no key, or the key is another source's.
    """
    try:
        parts = urlsplit(reference)
        host, port, key = parts.hostname, parts.port, unquote(parts.path.strip("/"))
    except ValueError:
        host = port = None
        key = ""
    if host is None or port is None or not key:
        # Not as an address with its key: that is hidden wherever it is shown.
        raise UsageError(
            "rtmp+listen:// needs host, port and key (HOST:PORT/KEY), the key one that cannot be "
            "guessed"
        )
    server, place = RtmpServer.place("127.0.0.1" if host == "localhost" else host, port, key)
    try:
        return RtmpSource(server, place, host, context)
    except BaseException:
        server.leave(place)
        raise


class RtmpSource(Reconnecting):
    """Waits for its camera, and for its return."""

    def __init__(
        self, server: RtmpServer, place: StreamSlot, host: str, context: OpenContext
    ) -> None:
        uri = f"rtmp+listen://{f'[{host}]' if ':' in host else host}:{server.port}/***"
        # Opening is waiting: it must not hold up the start, and no pause comes before it.
        options = replace(context.options, wait_source=True)
        self._server, self._place = server, place
        super().__init__(
            SourceInfo(context.name, uri, "live", 0, 0, None, None),
            lambda stop: RtmpStream(uri, place, options, stop),
            replace(context, options=options),
            wait=lambda stop, _: stop.is_set(),
        )

    def _finish(self) -> None:
        super()._finish()
        self._server.leave(self._place)


class RtmpStream(Stream):
    """One visit of the camera."""

    def __init__(
        self, uri: str, place: StreamSlot, options: SourceOptions, stop: threading.Event
    ) -> None:
        super().__init__(uri, options, stop)
        self._place = place

    def open(self) -> tuple[int, int, float | None]:
        """See `Connection`; waits for the camera."""
        for _ in range(round(REMIND_SECONDS / CHECK_SECONDS)):
            if self.stop.is_set():
                raise Cancelled
            session = self._place.take(CHECK_SECONDS)
            if session is not None:
                session.wait_at_most(self._options.read_timeout_seconds)
                self._owner = session
                return super().open()
        raise SourceOpenError(f"no camera pushes to {self._shown} yet", code="STREAM_NOT_FOUND")

    def _connect(self) -> None:
        probe = {"analyzeduration": "50000", "fpsprobesize": "0"}  # its first tag says it all
        self._live(self._open(probe, file=self._owner, format="flv"))
