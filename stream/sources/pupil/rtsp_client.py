"""A small RTSP client for streams that FFmpeg cannot read: one medium, on the requests' own line.

RFC 2326 (requests, interleaved packets), RFC 3550 (what a packet is) and RFC 4566 (description).
Every wait ends by itself, every size is bounded, and nothing is reported back to the server. The
server of the Companion app was seen to write a reply into the middle of a packet
(github.com/pupil-labs/pl-realtime-api, pull request 90), so a reader that has lost its place looks
for the next packet.
"""

from __future__ import annotations

import contextlib
import math
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from egomon.errors import SourceLostError
from egomon.stream.redact import redact
from egomon.stream.sources.device_thread import CHECK_SECONDS, Cancelled

# RFC 2326, 3.2.
DEFAULT_PORT = 554
# Real replies have hundreds of bytes; the other end may be anything that listens there.
MOST_HEAD_BYTES = 8192
MOST_BODY_BYTES = 1 << 16
# A gaze datum has tens of bytes, and no packet is longer than an Ethernet frame.
MOST_PACKET_BYTES = 2048
MOST_ODD_BYTES = 1 << 14
"""Bytes in a row that belong to no packet."""
RECEIVE_BYTES = 4096
SESSION_SECONDS = 60.0
"""Session time-out of a server that states none, seconds (RFC 2326, 12.37)."""
# A server that states 0 would else be asked without a pause.
LEAST_SESSION_SECONDS = 2.0
# TEARDOWN is a courtesy: glasses that are switched off do not hold up `close`.
GOODBYE_SECONDS = 0.2
OK = 200
# RFC 3550, 5.1.
RTP_HEAD_BYTES = 12


@dataclass(frozen=True, slots=True)
class RtspReply:
    """Answer to a request."""

    status: int
    fields: Mapping[str, str]
    """By lower-case name."""
    body: str


@dataclass(frozen=True, slots=True)
class RtspPacket:
    """An interleaved packet."""

    channel: int
    data: bytes


class RtspClient:
    """Plays one medium of an address; opened by the constructor, read and closed in one thread.

    Args:
        url: rtsp://host[:port]/...
        encoding: name of the wanted medium in the description, in lower case.
        stop: set from another thread, it ends every wait within 0.1 s.
        timeout_seconds: longest wait for the connection and for a reply.
        clock: monotonic seconds.

    Raises:
        SourceLostError: the server refuses, does not answer in time or speaks something else.
        OSError: no connection.
        Cancelled: `stop` was set.
    """

    def __init__(
        self,
        url: str,
        *,
        encoding: str,
        stop: threading.Event,
        timeout_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url, self._shown, self._stop = url, redact(url), stop
        self._timeout_seconds, self._clock = timeout_seconds, clock
        self._buffer, self._count, self._session = bytearray(), 0, ""
        self._channel, self._kind = 0, 0
        self._alive_seconds = self._alive_until = math.inf
        try:
            parts = urlsplit(url)
            where = (parts.hostname or "", parts.port or DEFAULT_PORT)
            self._socket = socket.create_connection(where, timeout_seconds)
        except ValueError:  # a port or a name that none can have
            raise self._lost("is no address", "STREAM_NOT_FOUND") from None
        try:
            self._play(encoding)
        except BaseException:
            self._socket.close()
            raise

    def next(self, deadline: float) -> bytes:
        """Payload of the next packet.

        Raises:
            SourceLostError: none came before `deadline`, or the connection is dead.
            OSError: the connection is dead.
            Cancelled: `stop` was set.
        """
        while True:
            if self._clock() >= self._alive_until:
                self._send("OPTIONS", self._url)
            message = self._message(deadline)
            if isinstance(message, RtspPacket) and message.channel == self._channel:
                payload = rtp_payload(message.data, self._kind)
                if payload is not None:
                    return payload

    def close(self) -> None:
        """Send TEARDOWN without waiting for a reply, and close the connection."""
        with self._socket, contextlib.suppress(OSError):
            self._timeout_seconds = GOODBYE_SECONDS
            self._send("TEARDOWN", self._url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _play(self, encoding: str) -> None:
        self._ask("OPTIONS", self._url)
        described = self._ask("DESCRIBE", self._url, Accept="application/sdp")
        found = find_medium(described.body, encoding)
        if found is None:
            raise self._lost(f"has no stream of the kind {encoding}", "STREAM_NO_VIDEO")
        self._kind, control = found
        address = control_url(described.fields.get("content-base", ""), self._url, control)
        transport = "RTP/AVP/TCP;unicast;interleaved=0-1"
        reply = self._ask("SETUP", address, Transport=transport)
        self._session, _, rest = reply.fields.get("session", "").partition(";")
        given = re.search(r"timeout=(\d{1,6})", rest)
        seconds = float(given[1]) if given else SESSION_SECONDS
        self._alive_seconds = max(seconds, LEAST_SESSION_SECONDS) / 2
        channel = re.search(r"interleaved=(\d{1,3})", reply.fields.get("transport", ""))
        if channel is None:
            raise self._lost("does not send over the line of the requests")
        self._channel = int(channel[1])
        self._ask("PLAY", self._url, Range="npt=0.000-")

    def _ask(self, method: str, url: str, **fields: str) -> RtspReply:
        self._send(method, url, **fields)
        deadline = self._clock() + self._timeout_seconds
        while not isinstance(message := self._message(deadline), RtspReply):
            pass
        if message.status != OK:
            raise self._lost(f"refuses {method} ({message.status})")
        return message

    def _send(self, method: str, url: str, **fields: str) -> None:
        if re.fullmatch(r"[!-~]+", url) is None:
            raise self._lost("has an address with odd characters")
        self._count += 1
        said = {"CSeq": str(self._count), **fields}
        if self._session:
            said["Session"] = self._session
            self._alive_until = self._clock() + self._alive_seconds
        lines = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        self._socket.settimeout(self._timeout_seconds)
        self._socket.sendall(f"{method} {url} RTSP/1.0\r\n{lines}\r\n".encode("latin-1"))

    def _message(self, deadline: float) -> RtspReply | RtspPacket:
        """Read the next reply or packet; skip anything else."""
        for _ in range(MOST_ODD_BYTES):
            self._need(4, deadline)
            if self._buffer.startswith(b"RTSP"):
                return self._reply(deadline)
            size = int.from_bytes(self._buffer[2:4])
            if self._buffer[0] == ord("$") and size <= MOST_PACKET_BYTES:
                self._need(4 + size, deadline)
                packet = RtspPacket(self._buffer[1], bytes(self._buffer[4 : 4 + size]))
                del self._buffer[: 4 + size]
                return packet
            del self._buffer[0]
        raise self._lost("sends no packets")

    def _reply(self, deadline: float) -> RtspReply:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MOST_HEAD_BYTES:
                raise self._lost("sends a reply without an end")
            self._need(len(self._buffer) + 1, deadline)
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
        status = re.match(r"RTSP/\d\.\d (\d{3})\b", first)
        size = re.fullmatch(r"\d{1,9}", fields.get("content-length", "0"))
        if status is None or size is None or int(size[0]) > MOST_BODY_BYTES:
            raise self._lost("sends a reply that cannot be read")
        del self._buffer[: end + 4]
        self._need(int(size[0]), deadline)
        body = self._buffer[: int(size[0])].decode("utf-8", "replace")
        del self._buffer[: int(size[0])]
        return RtspReply(int(status[1]), fields, body)

    def _need(self, count: int, deadline: float) -> None:
        """Wait until `count` bytes are buffered."""
        while True:
            if self._stop.is_set():
                raise Cancelled
            left = deadline - self._clock()
            if left <= 0:
                raise self._lost("sent nothing in time", "STREAM_TIMEOUT")
            if len(self._buffer) >= count:
                return
            self._socket.settimeout(min(left, CHECK_SECONDS))
            with contextlib.suppress(TimeoutError):
                data = self._socket.recv(RECEIVE_BYTES)
                if not data:
                    raise self._lost("hung up", "STREAM_ENDED")
                self._buffer += data

    def _lost(self, what: str, code: str = "STREAM_DAMAGED") -> SourceLostError:
        return SourceLostError(f"{self._shown} {what}", code=code)


def find_medium(description: str, encoding: str) -> tuple[int, str] | None:
    """Payload type and control address of the medium with this encoding, None where missing."""
    for section in re.split(r"(?m)^(?=m=)", description)[1:]:
        for kind, name in re.findall(r"(?m)^a=rtpmap:(\d{1,3}) ([^/\s]+)", section):
            if name.lower() == encoding:
                control = re.search(r"(?m)^a=control:(\S+)", section)
                return int(kind), "*" if control is None else control[1]
    return None


def control_url(base: str, url: str, control: str) -> str:
    """Where a medium is set up; joined as FFmpeg does, which plays the same server's video.

    >>> control_url("", "rtsp://phone:8086/?camera=gaze", "trackID=0")
    'rtsp://phone:8086/?camera=gaze/trackID=0'
    """
    if control.startswith("rtsp://"):
        return control
    base = base if base.startswith("rtsp://") else url
    return base if control == "*" else f"{base.removesuffix('/')}/{control}"


def rtp_payload(packet: bytes, kind: int) -> bytes | None:
    """Return the payload of an RTP packet; None if it is no such packet or of another type."""
    if len(packet) < RTP_HEAD_BYTES or packet[0] >> 6 != 2 or packet[1] & 0x7F != kind:
        return None
    start, end = RTP_HEAD_BYTES + 4 * (packet[0] & 0x0F), len(packet)
    if packet[0] & 0x10:  # an extension: two bytes of its own, then its length in words
        start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4])
    if packet[0] & 0x20:  # padding: its last byte says how much
        end -= packet[-1]
    return packet[start:end] if start <= end else None
