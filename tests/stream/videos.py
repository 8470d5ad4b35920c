"""Makes small videos, and a server that sends one over TCP as badly as a test wants."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import av
import numpy as np

from egomon.stream.sources.synthetic import SyntheticSource

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "video"


def pictures(count: int, width: int = 320, height: int = 240) -> list[np.ndarray]:
    """Moving pattern; `read_index` finds the number again."""
    with SyntheticSource(
        name="x", seconds=count / 30, fps=30, width=width, height=height
    ) as source:
        return [grab.to_rgb() for grab in iter(source.read, None)]


def write_video(
    target: Path | io.BytesIO,
    images: Sequence[np.ndarray],
    *,
    pts: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 30000),
    step: int = 1000,
    rate: Fraction | int = 30,
    codec: str = "libx264",
    container: str | None = None,
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
    sizes: list[int] | None = None,
    aspect: Fraction | None = None,
) -> Any:
    """Encode; `pts` in units of `time_base`. `sizes` collects the bytes after each packet;
    `aspect` is width to height of a pixel."""
    height, width = images[0].shape[:2]
    with av.open(
        target if isinstance(target, io.BytesIO) else str(target),
        "w",
        format=container,
        options=muxer or {},
    ) as out:
        stream: Any = out.add_stream(codec, rate=rate)
        stream.width, stream.height = width, height
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        # libx264 cannot halve the colour planes of an odd size.
        odd = "yuv444p" if width % 2 or height % 2 else "yuv420p"
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else odd
        stream.codec_context.time_base = time_base
        stream.options = (
            {"preset": "ultrafast", "crf": "18", **(options or {})}
            if (codec == "libx264")
            else dict(options or {})
        )
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = number * step if pts is None else pts[number]
            frame.time_base = time_base
            for packet in stream.encode(frame):
                out.mux(packet)
                if sizes is not None and isinstance(target, io.BytesIO):
                    sizes.append(target.tell())
        for packet in stream.encode(None):
            out.mux(packet)
            if sizes is not None and isinstance(target, io.BytesIO):
                sizes.append(target.tell())
    return target


def write_audio(target: Path) -> Path:
    """A second of silence without pictures."""
    with av.open(str(target), "w") as out:
        stream: Any = out.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 16000, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    return target


def rotate_mp4(path: Path) -> None:
    """Write "turn by 90 degrees clockwise to show" into the track header, as phones do."""
    one = 1 << 16
    set_display_matrix(path, (0, one, -one, 0))


def set_display_matrix(path: Path, matrix: Sequence[int]) -> None:
    """Write a, b, c, d (16.16 fixed point) into the track header."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8  # version, times and ids, reserved, layer
    a, b, c, d = matrix
    values = (a, b, 0, c, d, 0, 0, 0, 1 << 30)
    data[at : at + 36] = b"".join(v.to_bytes(4, "big", signed=True) for v in values)
    path.write_bytes(data)


def mpegts_packets(frames: int, fps: int = 30) -> list[bytes]:
    """MPEG-TS bytes, one piece a frame."""
    buffer, ends = io.BytesIO(), []
    options = {"tune": "zerolatency", "g": "10", "bf": "0"}
    write_video(
        buffer,
        pictures(frames),
        container="mpegts",
        options=options,
        sizes=ends,
        rate=fps,
        muxer={"flush_packets": "1"},
    )
    data = buffer.getvalue()
    starts = [0, *ends[:-1]]
    return [data[a:b] for a, b in zip(starts, [*ends[:-1], len(data)], strict=True) if b > a]


class TcpServer:
    """Accepts one connection after another and paces `pieces` to each, at `fps`.

    Args:
        pieces: what each connection gets, from the start; empty = silence.
        after: number of pieces after which the connection stalls or is closed; None = never.
        stall: stall instead of closing, until `go` is set.
        once: only the first connection misbehaves.
    """

    def __init__(
        self,
        pieces: Sequence[bytes],
        *,
        fps: float = 30.0,
        after: int | None = None,
        stall: bool = False,
        once: bool = True,
        head: int = 0,
    ) -> None:
        self._pieces, self._fps, self._after = pieces, fps, after
        self._stall, self._once, self._head = stall, once, head
        self._stop, self.go = threading.Event(), threading.Event()
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
        self.go.set()
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
            thread = threading.Thread(target=self._serve, args=(client, self.connections))
            thread.start()
            self._threads.append(thread)

    def _serve(self, client: socket.socket, number: int) -> None:
        with client:
            if not self._pieces:
                self._stop.wait()
            bad = number == 1 or not self._once
            try:
                for count, piece in enumerate(self._pieces):
                    if bad and count == self._after:
                        if not self._stall:
                            return
                        self.go.wait()
                    if self._stop.is_set():
                        return
                    client.sendall(piece)
                    if count >= self._head and self._stop.wait(1 / self._fps):
                        return
                self._stop.wait()
            except OSError:
                return  # the reader went away
