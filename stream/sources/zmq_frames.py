"""Frames pushed to us over ZeroMQ, for headsets and programs that no stream URL reaches.

We bind a PULL socket, the sender connects a PUSH socket and sends two-part messages:

```
[ {"t": 12.345, "seq": 370, "w": 640, "h": 480} ] [ JPEG ]
```

`t` is seconds on the sender's own clock and has to increase; `seq` grows by one a frame, so that
losses are seen; `w` and `h` may be left out. `examples/push_frames.py` is a complete sender. The
address must be this machine's unless the user writes another: there is no authentication.
"""

from __future__ import annotations

import errno
import json
import logging
import time
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from egomon.errors import AddressInUseError, UsageError
from egomon.stream.frame import Grab, SourceInfo, UInt8Image
from egomon.stream.media_clock import MediaClock
from egomon.stream.source import Discontinuity, SourceState, StateChange
from egomon.stream.source_options import OpenContext
from egomon.stream.sources.closable import ClosableSource
from egomon.stream.sources.decoding.jpeg import JpegDecoder, jpeg_size
from egomon.stream.sources.zmtp import PullSocket
from egomon.units import SECONDS_PER_NS

logger = logging.getLogger(__name__)

MOST_BYTES = 16 * 1024 * 1024
MOST_HEADER_BYTES = 4096
# Unix time until the year 2286; a larger one was sent in milliseconds.
MOST_SECONDS = 1e10
# It rests as long as it read: who sends nothing but malformed messages gets half of a core.
LONGEST_REST_SECONDS = 0.1
# `close` from another thread is seen within it.
POLL_SECONDS = 0.1


class ZmqFrames(ClosableSource):
    """Live source fed by a PUSH socket; the newest frame wins, malformed messages are counted.

    Needs no thread of its own: `read` polls. Width and height are 0 until the first frame.

    Raises:
        AddressInUseError: the port is taken.
        UsageError: not of the form zmq+tcp://host:port.
    """

    def __init__(self, reference: str, context: OpenContext) -> None:
        super().__init__(context.stop)
        self._options, self._listener = context.options, context.listener
        self._clock = context.clock
        self._media = MediaClock(self._listener, live=True)
        self._decode = JpegDecoder()
        self._last: UInt8Image | None = None
        self._next_seq: int | None = None
        self._state: SourceState = "connecting"
        self._refused = 0
        self._socket, endpoint = _bind(reference)
        self._info = SourceInfo(context.name, endpoint, "live", 0, 0, None, None)
        self._listener.on_state(StateChange("connecting"))

    @property
    def info(self) -> SourceInfo:
        """See `Source`; `uri` holds the real port if 0 was asked for."""
        return self._info

    def read(self) -> Grab | None:
        """See `Source`."""
        with self._lock:
            begin = self._clock()
            while not self._stop.is_set():
                began = self._clock()
                messages = self._socket.receive(POLL_SECONDS)
                grab = self._newest(messages)
                if grab is not None:
                    return grab
                if messages:
                    self._stop.wait(min(self._clock() - began, LONGEST_REST_SECONDS))
                elif self._clock() - begin >= self._options.stall_seconds:
                    self._tell_stalled()
            self._finish()
            return None

    def _newest(self, messages: list[list[bytes]]) -> Grab | None:
        """Use the newest good message."""
        parsed = [parse_message(parts) for parts in messages]
        good = [message for message in parsed if message is not None]
        refused, self._refused = self._socket.refused - self._refused, self._socket.refused
        if damaged := len(parsed) - len(good) + refused:
            self._listener.on_gap(Discontinuity("decode_error", damaged))
        if len(good) > 1:
            self._listener.on_gap(Discontinuity("buffer_full", len(good) - 1))
        return self._grab(*good[-1]) if good else None

    def _grab(self, header: dict[str, Any], jpeg: bytes, size: tuple[int, int]) -> Grab | None:
        mono_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        if header["seq"] == 0 and self._next_seq:
            self._media.reconnected()  # the sender was started again
        elif self._next_seq is not None:
            self._media.skip(max(0, header["seq"] - self._next_seq))
        self._next_seq = header["seq"] + 1
        stamp = self._media.stamp(header["t"], mono_ns * SECONDS_PER_NS)
        if stamp is None:
            return None
        self._info = replace(self._info, width=size[0], height=size[1])
        if self._state != "online":
            self._state = "online"
            self._listener.on_state(StateChange("online"))
        return Grab(
            t_seconds=stamp.t_seconds,
            mono_ns=mono_ns,
            wall_ns=wall_ns,
            index=stamp.index,
            epoch=stamp.epoch,
            to_rgb=lambda: self._to_rgb(jpeg, size),
        )

    def _to_rgb(self, jpeg: bytes, size: tuple[int, int]) -> UInt8Image:
        """Decoded only if sampled; a damaged picture becomes the one before, and is counted."""
        picture = self._decode(jpeg)
        if picture is None:
            self._listener.on_gap(Discontinuity("decode_error", 1))
            if self._last is None:
                return np.zeros((size[1], size[0], 3), dtype=np.uint8)
            return self._last.copy()
        self._last = picture
        return picture

    def _tell_stalled(self) -> None:
        if self._state == "online":
            self._state = "stalled"
            message = f"{self._info.uri} receives no frames"
            self._listener.on_state(StateChange("stalled", "STREAM_TIMEOUT", message))

    def _finish(self) -> None:
        self._socket.close()
        if self._state != "ended":
            self._state = "ended"
            self._media.finish()
            self._listener.on_state(StateChange("ended"))


def _bind(reference: str) -> tuple[PullSocket, str]:
    """The socket, and its address with the real port."""
    try:
        parts = urlsplit(reference)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host is None or port is None:
        raise UsageError(f"{reference!r}: write zmq+tcp://127.0.0.1:5555")
    host = "127.0.0.1" if host == "localhost" else "0.0.0.0" if host == "*" else host
    try:
        found = PullSocket(host, port, MOST_BYTES + MOST_HEADER_BYTES)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUseError(
                f"{reference} is in use; choose another port or stop what listens there"
            ) from None
        raise UsageError(f"cannot listen at {reference}: {error.strerror}") from None
    if host not in ("127.0.0.1", "::1"):
        logger.warning("%s: anybody who reaches this address can send frames", reference)
    return found, f"zmq+tcp://{f'[{host}]' if ':' in host else host}:{found.port}"


def parse_message(parts: list[bytes]) -> tuple[dict[str, Any], bytes, tuple[int, int]] | None:
    """Header, JPEG and its size; None if the message does not follow the format."""
    if len(parts) != 2 or len(parts[0]) > MOST_HEADER_BYTES:
        return None
    try:
        header = json.loads(parts[0])
    except (ValueError, RecursionError):
        return None
    if not isinstance(header, dict):
        return None
    t, seq = header.get("t"), header.get("seq")
    good_t = isinstance(t, (int, float)) and not isinstance(t, bool) and abs(t) < MOST_SECONDS
    good_seq = isinstance(seq, int) and not isinstance(seq, bool) and 0 <= seq < 2**53
    size = jpeg_size(parts[1])
    if not good_t or not good_seq or size is None:
        return None
    return {"t": float(t), "seq": seq}, parts[1], size  # type: ignore[arg-type]
