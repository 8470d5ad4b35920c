"""Compressed packets of the last seconds: clips in the source's own quality, without an encoder."""

from __future__ import annotations

import io
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error

# A clip reaches back to before its segment, and the key frame before that may lie 20 s earlier.
KEEP_SECONDS = 60.0
# A minute at 8 Mbit/s; a camera with more gets shorter clips, not more memory.
KEEP_BYTES = 64 << 20
PLAYED = frozenset({"h264", "vp9", "av1"})
"""Codecs that every browser plays out of an mp4; others are encoded anew."""


@dataclass(frozen=True, slots=True, eq=False)
class Packet:
    """One compressed picture; times in the connection's time base."""

    data: bytes
    pts: int
    dts: int
    duration: int
    is_keyframe: bool


@dataclass(frozen=True, slots=True, eq=False)
class PacketClip:
    """A run of packets that begins with a key frame."""

    head: bytes
    """A NUT file with the first key frame of the connection: codec, size and extra data."""
    time_base: Fraction
    packets: tuple[Packet, ...]
    """In order of decoding."""
    start: int
    """Start of the clip as shown; earlier packets are only needed to decode the rest."""
    size: tuple[int, int]
    """(width, height)."""


class PacketRing:
    """Packets of the last seconds of one source; its reading thread adds, any other cuts.

    Bounded by seconds and by bytes. A new connection, a clock that starts anew or a packet
    without time clears the ring.

    Args:
        seconds, max_bytes: bounds.
        clock_ns: the clock of `Frame.mono_ns`.
    """

    def __init__(
        self,
        *,
        seconds: float = KEEP_SECONDS,
        max_bytes: int = KEEP_BYTES,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._seconds, self._max_bytes, self._clock_ns = seconds, max_bytes, clock_ns
        self._since_ns = 0
        self._lock = threading.Lock()
        self._packets: deque[Packet] = deque()
        self._nbytes = 0
        self._stream: Any = None
        self._head: bytes | None = None
        self._time_base = Fraction(1)
        self._size = (0, 0)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._nbytes

    def begin(self, stream: Any) -> None:
        """Begin a connection; called in the thread that reads it."""
        context = stream.codec_context
        with self._lock:
            self._forget()
            self._head = None
            self._stream = stream if context.name in PLAYED and stream.time_base else None
            self._time_base = stream.time_base or Fraction(1)
            self._size = context.width, context.height

    def refuse(self) -> None:
        """Keep nothing of this connection: its pictures are not shown as they are sent."""
        with self._lock:
            self._forget()
            self._stream = None

    def add(self, packet: av.Packet[Any]) -> None:
        """Keep a packet as it was sent; called in the thread that reads the connection."""
        if self._stream is None or not packet.size:
            return
        if packet.pts is None or packet.dts is None:
            with self._lock:
                self._forget()
            return
        kept = Packet(
            bytes(packet), packet.pts, packet.dts, packet.duration or 0, packet.is_keyframe
        )
        if self._head is None:
            if not kept.is_keyframe:
                return
            self._head = _head(self._stream, kept)
        with self._lock:
            if self._packets and kept.dts <= self._packets[-1].dts:
                self._forget()
            self._packets.append(kept)
            self._nbytes += len(kept.data)
            oldest_dts = kept.dts - self._seconds / self._time_base
            while self._packets and (
                self._nbytes > self._max_bytes or self._packets[0].dts < oldest_dts
            ):
                self._nbytes -= len(self._packets.popleft().data)

    def cut(
        self, start: float, latest_start: float, end: float, *, arrived_ns: int
    ) -> PacketClip | None:
        """Cut the packets of a span; None if some are missing.

        Args:
            start: seconds on the source's own clock; packets come from the key frame before.
            latest_start: where none is left, it may begin later, but not after this.
            end: of what is shown.
            arrived_ns: of the span's first frame. Packets from before the ring was cleared had
                another clock: the same times would show another moment.
        """
        with self._lock:
            if arrived_ns < self._since_ns:
                return None
            packets, head = tuple(self._packets), self._head
        keys = [i for i, p in enumerate(packets) if p.is_keyframe]
        before = [i for i in keys if packets[i].pts * self._time_base <= start]
        first = before[-1] if before else next(iter(keys), None)
        if head is None or first is None or packets[first].pts * self._time_base > latest_start:
            return None
        shown = packets[first:]
        last = max(i for i, p in enumerate(shown) if i == 0 or p.pts * self._time_base <= end)
        begin = max(round(start / self._time_base), shown[0].pts)
        return PacketClip(head, self._time_base, shown[: last + 1], begin, self._size)

    def _forget(self) -> None:
        self._packets.clear()
        self._nbytes = 0
        self._since_ns = self._clock_ns()


def _head(stream: Any, key: Packet) -> bytes:
    # NUT keeps the extra data as the source gave them, whichever form H.264 has; a clip is made
    # in another thread, where the source's own stream may be gone by then.
    into = io.BytesIO()
    with av.open(into, "w", format="nut") as container:
        copied = container.add_stream_from_template(stream)
        container.mux(as_packet(key, copied, stream.time_base, shift=key.dts))
    return into.getvalue()


def as_packet(packet: Packet, stream: Any, time_base: Fraction, *, shift: int) -> av.Packet[Any]:
    """A packet for muxing into `stream`, `shift` ticks earlier."""
    made = av.Packet(packet.data)
    made.time_base = time_base
    made.pts, made.dts = packet.pts - shift, packet.dts - shift
    made.duration = packet.duration
    made.is_keyframe = packet.is_keyframe
    made.stream = stream
    return made
