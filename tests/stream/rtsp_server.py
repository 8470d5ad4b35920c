"""An RTSP server as a phone is one: H.264, or gaze, over RTP, on the TCP line of the requests."""

from __future__ import annotations

import base64
import io
import re
import select
import socket
import struct
import threading
from functools import cache
from typing import Self

from videos import pictures, write_video

CLOCK_HZ = 90_000
FPS = 30
FIRST_TIME = 2_345_678_901
"""A clock of RTP begins anywhere (RFC 3550, 5.1)."""
MOST_BYTES = 1200
"""Of a NAL unit in one RTP packet; larger ones are sent in fragments (RFC 6184, 5.8)."""


@cache
def access_units(frames: int = 120) -> list[list[bytes]]:
    """Of each encoded frame its NAL units; a key frame every 10 brings its parameter sets."""
    target, ends = io.BytesIO(), list[int]()
    options = {"tune": "zerolatency", "g": "10", "bf": "0", "x264-params": "sliced-threads=0"}
    write_video(target, pictures(frames), container="h264", options=options, sizes=ends)
    data, starts = target.getvalue(), [0, *ends]
    spans = zip(starts, ends, strict=False)
    return [
        [unit for unit in re.split(rb"\x00*\x00\x00\x01", data[a:b]) if unit]
        for a, b in spans
        if b > a
    ]


def _payloads(unit: bytes) -> list[bytes]:
    """One NAL unit as RTP payloads."""
    if len(unit) <= MOST_BYTES:
        return [unit]
    indicator, kind, body = (unit[0] & 0xE0) | 28, unit[0] & 0x1F, unit[1:]
    pieces = [body[at : at + MOST_BYTES] for at in range(0, len(body), MOST_BYTES)]
    last = len(pieces) - 1
    return [
        bytes([indicator, kind | (0x80 if n == 0 else 0) | (0x40 if n == last else 0)]) + piece
        for n, piece in enumerate(pieces)
    ]


class RtspServer:
    """Plays the same video to each connection, in a loop without end.

    Args:
        after: frames after which the first connection is closed; None = never.
        stall: fall silent instead of closing it.
    """

    def __init__(self, *, after: int | None = None, stall: bool = False) -> None:
        self._after, self._stall = after, stall
        self._stop = threading.Event()
        self.asked: list[str] = []
        """Method and address of each request."""
        self.answers: dict[str, bytes] = {}
        """Method to a whole reply instead of the usual one."""
        self.session = "7"
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self.port = self._socket.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(5)
        self._socket.close()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._socket.accept()
            except TimeoutError:
                continue
            self.connections += 1
            client.settimeout(5)
            thread = threading.Thread(target=self._serve, args=(client, self.connections == 1))
            thread.start()
            self._threads.append(thread)

    def _serve(self, client: socket.socket, first: bool) -> None:
        with client, client.makefile("rb") as lines:
            try:
                while self._answer(client, lines) != "PLAY":
                    if self._stop.is_set():
                        return
                self._play(client, self._after if first else None)
            except OSError:
                return  # the reader went away

    def _answer(self, client: socket.socket, lines: io.BufferedReader | socket.SocketIO) -> str:
        """Answer one request; its method."""
        head = list(iter(lambda: lines.readline().decode().strip(), ""))
        if not head:
            raise ConnectionResetError
        method, address, _ = head[0].split()
        self.asked.append(f"{method} {address}")
        sequence = next(line for line in head if line.lower().startswith("cseq"))
        if method in self.answers:
            client.sendall(self.answers[method])
            return method
        body, extra = "", {"Session": self.session}
        if method == "OPTIONS":
            extra = {"Public": "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"}
        elif method == "DESCRIBE":
            body = self._describe()
            extra = {"Content-Type": "application/sdp", "Content-Length": str(len(body))}
        elif method == "SETUP":
            extra["Transport"] = "RTP/AVP/TCP;unicast;interleaved=0-1"
        fields = "".join(f"{key}: {value}\r\n" for key, value in extra.items())
        client.sendall(f"RTSP/1.0 200 OK\r\n{sequence}\r\n{fields}\r\n{body}".encode())
        return method

    def _describe(self) -> str:
        sets = [unit for unit in access_units()[0] if unit[0] & 0x1F in (7, 8)]
        coded = ",".join(base64.b64encode(unit).decode() for unit in sets)
        lines = (
            "v=0",
            "o=- 0 0 IN IP4 127.0.0.1",
            "s=scene camera",
            "c=IN IP4 127.0.0.1",
            "t=0 0",
            "m=video 0 RTP/AVP 96",
            f"a=rtpmap:96 H264/{CLOCK_HZ}",
            f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={coded}",
            "a=control:trackID=0",
        )
        return "".join(f"{line}\r\n" for line in lines)

    def _play(self, client: socket.socket, after: int | None) -> None:
        units, number = access_units(), 0
        for frame in range(1 << 20):
            if frame == after:
                if self._stall:
                    self._stop.wait()
                return
            payloads = [p for unit in units[frame % len(units)] for p in _payloads(unit)]
            time = FIRST_TIME + frame * CLOCK_HZ // FPS & 0xFFFFFFFF
            for count, payload in enumerate(payloads, 1):
                marker = 0x80 if count == len(payloads) else 0
                head = struct.pack(">BBHII", 0x80, marker | 96, number & 0xFFFF, time, 1)
                packet = head + payload
                client.sendall(struct.pack(">BBH", 0x24, 0, len(packet)) + packet)
                number += 1
            # A little faster than life: the tests do not wait for a video to pass.
            if self._stop.wait(1 / (4 * FPS)):
                return


def gaze_datum(x_px: float, y_px: float, worn: int = 255, more: bytes = b"") -> bytes:
    """A payload of the encoding `com.pupillabs.gaze1`."""
    return struct.pack(">ffB", x_px, y_px, worn) + more


def interleaved(payload: bytes, *, kind: int = 99, version: int = 2, channel: int = 0) -> bytes:
    """A payload as RTP on the line of the requests."""
    packet = struct.pack(">BBHII", version << 6, kind, 1, 1, 1) + payload
    return struct.pack(">BBH", 0x24, channel, len(packet)) + packet


class GazeServer(RtspServer):
    """Sends `piece` every 5 ms, whatever it is, and answers requests meanwhile.

    Args:
        piece: bytes, packets or not; a test may change it.
        after: pieces after which the first connection is closed; None = never.
    """

    EACH_SECONDS = 0.005

    def __init__(self, piece: bytes = b"", *, after: int | None = None) -> None:
        self.piece = piece
        super().__init__(after=after)

    def _describe(self) -> str:
        lines = (
            "v=0",
            "s=gaze",
            "m=video 0 RTP/AVP 96",
            "a=rtpmap:96 H264/90000",
            "a=control:trackID=0",
            "m=application 0 RTP/AVP 99",
            "a=rtpmap:99 com.pupillabs.gaze1/90000",
            "a=control:trackID=1",
        )
        return "".join(f"{line}\r\n" for line in lines)

    def _play(self, client: socket.socket, after: int | None) -> None:
        for count in range(1 << 20):
            if count == after:
                return
            client.sendall(self.piece)
            if select.select([client], [], [], 0)[0]:
                with client.makefile("rb", buffering=0) as lines:  # reads no further than asked
                    self._answer(client, lines)
            if self._stop.wait(self.EACH_SECONDS):
                return
