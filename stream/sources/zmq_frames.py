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

import json
import logging
import time
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import zmq

from egomon.errors import AddressInUseError, UsageError
from egomon.stream.frame import Grab, SourceInfo, UInt8Image
from egomon.stream.media_clock import MediaClock
from egomon.stream.source import Discontinuity, SourceState, StateChange
from egomon.stream.source_options import OpenContext
from egomon.stream.sources.closable import ClosableSource
from egomon.stream.sources.decoding.jpeg import JpegDecoder, jpeg_size
from egomon.units import SECONDS_PER_NS

logger = logging.getLogger(__name__)

MOST_BYTES = 16 * 1024 * 1024
MOST_HEADER_BYTES = 4096
MOST_SECONDS = 1e10
QUEUE_FRAMES = 4
POLL_MS = 100


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
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PULL)
        try:
            endpoint = self._bind(reference)
        except BaseException:
            self._release()
            raise
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
                if self._socket.poll(POLL_MS):
                    grab = self._newest()
                    if grab is not None:
                        return grab
                elif self._clock() - begin >= self._options.stall_seconds:
                    self._tell_stalled()
            self._finish()
            return None

    def _bind(self, reference: str) -> str:
        try:
            parts = urlsplit(reference)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if host is None or port is None:
            raise UsageError(f"{reference!r}: write zmq+tcp://127.0.0.1:5555")
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MOST_BYTES)
        # CONFLATE would keep one part of a message only; so a short queue, emptied at each read.
        self._socket.setsockopt(zmq.RCVHWM, QUEUE_FRAMES)
        host = f"[{host}]" if ":" in host else "127.0.0.1" if host == "localhost" else host
        if host.startswith("["):
            self._socket.setsockopt(zmq.IPV6, 1)
        try:
            self._socket.bind(f"tcp://{host}:{port or '*'}")
        except zmq.ZMQError as error:
            if error.errno == zmq.EADDRINUSE:
                raise AddressInUseError(
                    f"{reference} is in use; choose another port or stop what listens there"
                ) from None
            raise UsageError(f"cannot listen at {reference}: {error.strerror}") from None
        if host not in ("127.0.0.1", "[::1]"):
            logger.warning("%s: anybody who reaches this address can send frames", reference)
        endpoint: bytes = self._socket.getsockopt(zmq.LAST_ENDPOINT)  # type: ignore[assignment]
        return "zmq+" + endpoint.decode().rstrip("\0")

    def _newest(self) -> Grab | None:
        """Empty the queue and use the newest good message."""
        newest: tuple[dict[str, Any], bytes, tuple[int, int]] | None = None
        superseded = 0
        for _ in range(2 * QUEUE_FRAMES + 1):
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            message = parse_message(parts)
            if message is None:
                self._listener.on_gap(Discontinuity("decode_error", 1))
                continue
            superseded += newest is not None
            newest = message
        if superseded:
            self._listener.on_gap(Discontinuity("buffer_full", superseded))
        return None if newest is None else self._grab(*newest)

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
        self._release()
        if self._state != "ended":
            self._state = "ended"
            self._media.finish()
            self._listener.on_state(StateChange("ended"))

    def _release(self) -> None:
        if not self._socket.closed:
            self._socket.close(linger=0)
            self._context.term()


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
