"""Pupil Labs glasses: their phone says where its RTSP streams are, the network source reads one.

The other one, the gaze, is read beside it; see `egomon.stream.sources.pupil.gaze`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from egomon.errors import SourceOpenError, UsageError
from egomon.stream.frame import SourceInfo
from egomon.stream.redact import redact
from egomon.stream.source import Source
from egomon.stream.source_options import OpenContext, SourceOptions
from egomon.stream.sources.network.connection import RawFrame
from egomon.stream.sources.network.reconnecting import Reconnecting
from egomon.stream.sources.network.stream import Stream
from egomon.stream.sources.pupil.discovery import (
    DEFAULT_PORT,
    find_glasses,
    gaze_url,
    require_discovery,
    scene_url,
)
from egomon.stream.sources.pupil.gaze import GazeReader
from egomon.units import SECONDS_PER_NS

LOOKUP_SHARE = 0.6
"""Of the time for opening; the rest is for the stream itself."""


def open_pupil(
    reference: str, context: OpenContext, *, interfaces: Sequence[str] | None = None
) -> Source:
    """Open the scene camera of the glasses at `pupil://host[:port]`, or of the first ones found.

    Raises:
        MissingExtraError: no address is given, and the package that finds one is not installed.
        SourceOpenError: no glasses answer, or their scene camera is off.
        UsageError: the address cannot be read.
    """
    try:
        parts = urlsplit(reference)
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError as error:
        raise UsageError(f"{redact(reference)!r}: {error}; write pupil://ADDRESS:PORT") from None
    if host is None:
        require_discovery()
    return Reconnecting(
        SourceInfo(context.name, redact(reference), "live", 0, 0, None, None),
        lambda event: PupilStream(reference, host, port, context.options, event, interfaces),
        context,
    )


class PupilStream(Stream):
    """One connection. Each asks the phone anew: it may come back with another address."""

    def __init__(
        self,
        reference: str,
        host: str | None,
        port: int,
        options: SourceOptions,
        stop: threading.Event,
        interfaces: Sequence[str] | None,
    ) -> None:
        super().__init__(reference, options, stop)
        self._host, self._port, self._interfaces = host, port, interfaces
        self._look_up_seconds = LOOKUP_SHARE * options.open_timeout_seconds
        self._gaze: GazeReader | None = None

    def close(self) -> None:
        """See `Connection`."""
        if self._gaze is not None:
            self._gaze.close()
        super().close()

    def _connect(self) -> None:
        if self._host is None:
            self._host, self._port = self._find()
        self._reference = scene_url(self._host, self._port, self._look_up_seconds)
        super()._connect()

    def _next(self) -> RawFrame | None:
        frame = super()._next()
        if frame is None or not self._options.gaze:
            return frame
        if self._gaze is None and frame.size is not None:
            self._gaze = GazeReader(
                self._gaze_url,
                frame.size,
                self._shown,
                timeout_seconds=self._options.read_timeout_seconds,
            )
        gaze = None if self._gaze is None else self._gaze.at(frame.mono_ns * SECONDS_PER_NS)
        return replace(frame, gaze=gaze)

    def _find(self) -> tuple[str, int]:
        found = find_glasses(self._look_up_seconds, first=True, interfaces=self._interfaces)
        if not found:
            text = "no Pupil Labs glasses found; is the phone in this network? try pupil://ADDRESS"
            raise SourceOpenError(text, code="DEVICE_NOT_FOUND")
        return found[0].host, found[0].port

    def _gaze_url(self) -> str:
        assert self._host is not None
        return gaze_url(self._host, self._port, self._look_up_seconds)
