"""One camera's connection: handshake, commands, and its video as an FLV file without end.

The key is checked in the `publish` command, before any picture is read.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from egomon.errors import SourceLostError
from egomon.stream.sources.rtmp.amf import AmfError, decode, encode

# RTMP 1.0, 5.2.3.
HANDSHAKE_BYTES = 1536
# A camera shakes hands at once; whoever connects and waits frees the place.
HANDSHAKE_SECONDS = 5.0
# Encoders open three or four; each may hold a message that has begun.
MOST_STREAMS = 16
MOST_BYTES = 24 << 20
"""Of messages that have begun."""
# As librtmp's own.
WINDOW_BYTES = 2_500_000
# The 128 that RTMP begins with would cut each answer into pieces.
CHUNK_BYTES = 4096
# Types of messages: RTMP 1.0, 5.4 and 7.1.
SET_CHUNK, ABORT, ACKNOWLEDGE, CONTROL, WINDOW, BANDWIDTH = 1, 2, 3, 4, 5, 6
VIDEO, COMMAND_3, COMMAND = 9, 17, 20
FLV_HEAD = b"FLV\x01\x01\x00\x00\x00\x09\x00\x00\x00\x00"


class RtmpError(Exception):
    """The other end does not speak RTMP, or is refused."""


@dataclass(slots=True)
class RtmpMessage:
    """One message; also one that is still coming."""

    kind: int = 0
    length: int = 0
    time_ms: int = 0
    step_ms: int = 0
    extended: bool = False
    data: bytearray = field(default_factory=bytearray)


class RtmpSession:
    """Speaks with one camera.

    Args:
        connection: accepted.
        accepts: says of `app/name` whether it may publish; called once.

    Raises:
        RtmpError: it does not speak RTMP, gives a wrong key, or takes longer than 5 s.
    """

    def __init__(self, connection: socket.socket, accepts: Callable[[str], bool]) -> None:
        self._socket = connection
        self._deadline: float | None = time.monotonic() + HANDSHAKE_SECONDS
        self._read_seconds = HANDSHAKE_SECONDS
        self._chunk_bytes = 128
        self._streams: dict[int, RtmpMessage] = {}
        self._received = self._acknowledged = 0
        self._app = ""
        self.path = ""
        """`app/name` that was published."""
        self.is_open = True
        self._flv = bytearray(FLV_HEAD)
        try:
            self._handshake()
            while not self.path:
                self._command(self._message(), accepts)
        except (OSError, AmfError, struct.error, SourceLostError) as error:
            raise RtmpError(f"is no RTMP camera: {error}") from None
        self._deadline = None

    def wait_at_most(self, seconds: float) -> None:
        """A camera that is silent for so long is lost."""
        self._read_seconds = seconds

    def read(self, nbytes: int) -> bytes:
        """At most so many bytes of FLV; none at the end.

        Raises:
            SourceLostError: the camera was silent for too long, or sends no RTMP.
        """
        try:
            while not self._flv:
                message = self._message()
                if message.kind == VIDEO and message.data:
                    self._flv += _tag(message)
                elif message.kind == COMMAND and _name(message) in ("deleteStream", "FCUnpublish"):
                    return b""
        except TimeoutError:
            raise SourceLostError("it stopped sending", code="STREAM_TIMEOUT") from None
        except (OSError, AmfError):
            return b""
        except RtmpError as error:
            raise SourceLostError(str(error), code="STREAM_DAMAGED") from None
        found = bytes(self._flv[:nbytes])
        del self._flv[:nbytes]
        return found

    def close(self) -> None:
        """Hang up."""
        self.is_open = False
        self._socket.close()

    def refuse(self, reason: str) -> None:
        """Tell the camera why, and hang up."""
        with suppress(OSError):
            self._status("error", "NetStream.Publish.BadName", reason)
        self.close()

    def _status(self, level: str, code: str, description: str) -> None:
        about = {"level": level, "code": code, "description": description}
        self._send(COMMAND, encode("onStatus", 0, None, about), stream=1)

    def _handshake(self) -> None:
        hello = self._bytes(1 + HANDSHAKE_BYTES)
        if hello[0] != 3:
            raise RtmpError("is no RTMP camera")
        own = bytes(8) + os.urandom(HANDSHAKE_BYTES - 8)
        self._socket.sendall(b"\x03" + own + hello[1:])
        self._bytes(HANDSHAKE_BYTES)

    def _command(self, message: RtmpMessage, accepts: Callable[[str], bool]) -> None:
        if message.kind not in (COMMAND, COMMAND_3):
            return
        # AMF3 commands are AMF0 behind one byte.
        name, number, *rest = decode(bytes(message.data[message.kind == COMMAND_3 :]))
        if name == "connect":
            self._app = str(rest[0].get("app", "")) if rest and isinstance(rest[0], dict) else ""
            self._send(WINDOW, struct.pack(">I", WINDOW_BYTES))
            self._send(BANDWIDTH, struct.pack(">IB", WINDOW_BYTES, 2))
            self._send(SET_CHUNK, struct.pack(">I", CHUNK_BYTES))
            level = {"level": "status", "code": "NetConnection.Connect.Success"}
            about = {"fmsVer": "FMS/3,0,1,123", "capabilities": 31}
            self._send(COMMAND, encode("_result", number, about, level))
        elif name == "createStream":
            self._send(COMMAND, encode("_result", number, None, 1))
        elif name == "publish":
            path = f"{self._app}/{rest[1] if len(rest) > 1 and rest[1] else ''}".strip("/")
            if not accepts(path):
                self._status("error", "NetStream.Publish.BadName", "the key is wrong")
                raise RtmpError("gave a wrong key")
            self._send(CONTROL, struct.pack(">HI", 0, 1))
            self._status("status", "NetStream.Publish.Start", "go on")
            self.path = path
        elif name in ("play", "play2"):
            raise RtmpError("wants to watch; only cameras that publish are served")
        elif isinstance(number, float) and number:
            self._send(COMMAND, encode("_result", number, None))

    def _message(self) -> RtmpMessage:
        """The next whole message."""
        while True:
            message = self._chunk()
            if message.kind == SET_CHUNK and len(message.data) >= 4:
                self._chunk_bytes = max(1, int.from_bytes(message.data[:4], "big") & 0x7FFFFFFF)
            elif message.kind not in (0, ABORT, ACKNOWLEDGE, CONTROL, WINDOW, BANDWIDTH):
                return message

    def _chunk(self) -> RtmpMessage:
        """Read one chunk; the message if it is whole, else one of kind 0."""
        first = self._bytes(1)[0]
        form, number = first >> 6, first & 0x3F
        if number < 2:
            more = self._bytes(1 + number)
            number = 64 + int.from_bytes(more, "little")
        message = self._streams.setdefault(number, RtmpMessage())
        if len(self._streams) > MOST_STREAMS:
            raise RtmpError("opens too many chunk streams")
        head = self._bytes((11, 7, 3, 0)[form])
        begins = not message.data
        if form < 3:
            stamp = int.from_bytes(head[:3], "big")
            message.extended = stamp == 0xFFFFFF
            if form < 2:
                message.length = int.from_bytes(head[3:6], "big")
                message.kind = head[6]
        if message.extended:
            stamp = int.from_bytes(self._bytes(4), "big")
        if form < 3:
            message.step_ms = stamp
        if begins:
            message.time_ms = message.step_ms if form == 0 else message.time_ms + message.step_ms
        pending = sum(len(each.data) for each in self._streams.values())
        wanted = min(self._chunk_bytes, message.length - len(message.data))
        if wanted < 0 or pending + wanted > MOST_BYTES:
            raise RtmpError("sends messages that are too large")
        message.data += self._bytes(wanted)
        if len(message.data) < message.length:
            return RtmpMessage()
        whole = RtmpMessage(message.kind, message.length, message.time_ms, data=message.data)
        message.data = bytearray()
        return whole

    def _bytes(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            seconds = self._read_seconds
            if self._deadline is not None:
                seconds = self._deadline - time.monotonic()
                if seconds <= 0:
                    raise TimeoutError("it takes too long")
            self._socket.settimeout(seconds)
            piece = self._socket.recv(min(count - len(found), 1 << 16))
            if not piece:
                raise ConnectionError("it hung up")
            found += piece
        self._received += count
        if self._received - self._acknowledged >= WINDOW_BYTES // 2:
            self._acknowledged = self._received
            self._send(ACKNOWLEDGE, struct.pack(">I", self._received & 0xFFFFFFFF))
        return bytes(found)

    def _send(self, kind: int, data: bytes, *, stream: int = 0) -> None:
        # Answers are shorter than a chunk before and after SET_CHUNK, but for two: split those.
        channel = 2 if kind <= BANDWIDTH else 3
        head = struct.pack(">B", channel) + bytes(3) + len(data).to_bytes(3, "big") + bytes([kind])
        pieces = [data[at : at + 128] for at in range(0, len(data), 128)]
        if kind == COMMAND:
            pieces = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
        body = bytes([0xC0 | channel]).join(pieces)
        self._socket.sendall(head + struct.pack("<I", stream) + body)


def _tag(message: RtmpMessage) -> bytes:
    size, time_ms = len(message.data), message.time_ms & 0xFFFFFFFF
    head = bytes([VIDEO]) + size.to_bytes(3, "big") + (time_ms & 0xFFFFFF).to_bytes(3, "big")
    head += bytes([time_ms >> 24]) + bytes(3)
    return head + bytes(message.data) + (size + 11).to_bytes(4, "big")


def _name(message: RtmpMessage) -> Any:
    values = decode(bytes(message.data))
    return values[0] if values else None
