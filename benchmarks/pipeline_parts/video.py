"""Videos to measure with: made here, so that no data is needed."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path
from typing import Self

import av
import numpy as np
from av.codec.context import Flags, ThreadType
from numpy.typing import NDArray

from egomon.stream.frame import Grab, SourceInfo
from egomon.stream.sources.decoding.container import open_container, video_stream
from egomon.stream.sources.decoding.decode import Converter, VideoDecoder
from egomon.units import NS_PER_SECOND

PIECE_SECONDS = 6
RING_FRAMES = 4
"""Frames that a camera's driver holds for a reader that is late."""
FPS = 30


def film(path: Path, seconds: float, size: tuple[int, int]) -> Path:
    """H.264 like a webcam's: moving texture, an object, noise; 30 fps, a key frame every 2 s."""
    piece = path.with_suffix(".piece.mp4")
    _encode_piece(piece, min(PIECE_SECONDS, seconds), size)
    return loop(piece, path, seconds)


def loop(piece: Path, path: Path, seconds: float) -> Path:
    """The same packets again and again, until the video has `seconds`."""
    with av.open(str(path), "w") as out, av.open(str(piece)) as first:
        stream = out.add_stream_from_template(first.streams.video[0])
        length = 0.0
        while length < seconds - 1e-6:
            length += _append(piece, out, stream, length)
    return path


def _append(piece: Path, out: av.container.OutputContainer, stream: object, at: float) -> float:
    """Copy the packets of one file to `at` seconds; gives its length."""
    with av.open(str(piece)) as source:
        video = source.streams.video[0]
        assert video.time_base is not None
        assert video.average_rate is not None
        shift = round(at / video.time_base)
        packets = 0
        for packet in source.demux(video):
            if packet.dts is None or packet.pts is None:
                continue
            packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            packet.stream = stream  # type: ignore[assignment]
            out.mux(packet)
            packets += 1
        return float(packets / video.average_rate)


def _encode_piece(path: Path, seconds: float, size: tuple[int, int]) -> None:
    width, height = size
    options = {"preset": "veryfast", "crf": "26", "g": "60", "bf": "0"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        # Slices would make decoding easier than that of a camera's video.
        stream.thread_type = ThreadType.FRAME
        for picture in _pictures(round(seconds * FPS), height, width):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def _pictures(count: int, height: int, width: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    texture = np.zeros((height, width, 3), np.float32)
    for cell in (4, 16, 64):
        coarse = rng.uniform(0, 80, (height // cell + 1, width // cell + 1, 3))
        texture += np.kron(coarse, np.ones((cell, cell, 1)))[:height, :width]
    noise = rng.integers(0, 8, (height, width, 3), dtype=np.uint8)
    base = texture.astype(np.uint8)
    side = height // 4
    for i in range(count):
        picture = np.roll(base, (i, 2 * i), axis=(0, 1)) + np.roll(noise, 37 * i, axis=1)
        x, y = (5 * i) % (width - side), (3 * i) % (height - side)
        picture[y : y + side, x : x + side] = (200, 60, (4 * i) % 250)
        yield picture


class PacedCamera:
    """A live source that films a file: frames are due 30 times a second, then decoded.

    Its driver holds a few frames for a late reader, as a real one does; older ones are lost.

    Args:
        path: what it films.
        name: topic name.
        seconds: when it ends.
        speed: of its clock; 1 = real time.
        phase_seconds: this much later than other cameras.
    """

    def __init__(
        self,
        path: Path,
        name: str = "cam",
        *,
        seconds: float,
        speed: float = 1.0,
        phase_seconds: float = 0.0,
    ) -> None:
        self._container = open_container(str(path), options={})
        stream = video_stream(self._container, str(path))
        stream.thread_type = "SLICE"
        stream.codec_context.flags |= Flags.low_delay
        self._reader = VideoDecoder(self._container, stream, str(path))
        self._convert = Converter()
        self._stop, self._reading = threading.Event(), threading.Lock()
        self._count = round(seconds * FPS)
        self._period_ns = round(NS_PER_SECOND / FPS / speed)
        self._phase_ns = round(phase_seconds * NS_PER_SECOND)
        self._start_ns: int | None = None
        self.begin: threading.Event | None = None
        """Filming starts when this is set: a live monitor forgets what comes before."""
        self._index = 0
        self.lost = 0
        self.lateness_ms: list[float] = []
        """From due to decoded, of each frame."""
        self._decoded_ns: dict[int, int] = {}
        self.cpu_marks: list[tuple[int, float]] = []
        """(frame number, CPU seconds of the process) at each frame."""
        context = stream.codec_context
        self._info = SourceInfo(
            name, str(path), "live", context.width, context.height, float(FPS), None
        )

    @property
    def info(self) -> SourceInfo:
        """See `Source`."""
        return self._info

    def captured_ns(self, t_seconds: float) -> int:
        """Monotonic time at which the first frame at or after a media time was decoded.

        That is the one that the sampling grid takes. How late it was by then is a figure of its
        own, `lateness_ms`.
        """
        assert self._start_ns is not None
        index = math.ceil(t_seconds * FPS - 1e-6)
        return self._decoded_ns.get(index, self._start_ns + index * self._period_ns)

    def read(self) -> Grab | None:
        """See `Source`."""
        with self._reading:
            if self._stop.is_set():
                self._container.close()
                return None
            return self._read()

    def _read(self) -> Grab | None:
        if self.begin is not None and not self.begin.is_set():
            self.begin.wait(60)
            # Whoever reads before the models are there throws this away.
            now = time.monotonic_ns()
            return Grab(0.0, now, time.time_ns(), 0, 0, lambda: np.zeros((8, 8, 3), np.uint8))
        if self._start_ns is None:
            self._start_ns = time.monotonic_ns() + self._phase_ns
        due_ns = self._start_ns + self._index * self._period_ns
        if self._stop.wait(max(0, due_ns - time.monotonic_ns()) / NS_PER_SECOND):
            return None
        overrun = (time.monotonic_ns() - due_ns) // self._period_ns - RING_FRAMES
        for _ in range(max(0, overrun)):
            self._reader.next()
            self.lost += 1
            self._index += 1
        frame = None if self._index >= self._count else self._reader.next()
        if frame is None:
            return None
        index, self._index = self._index, self._index + 1
        due_ns = self._start_ns + index * self._period_ns
        self._decoded_ns[index] = time.monotonic_ns()
        self.lateness_ms.append((self._decoded_ns[index] - due_ns) / 1e6)
        self.cpu_marks.append((index, time.process_time()))
        return Grab(
            t_seconds=index / FPS,
            mono_ns=due_ns,
            wall_ns=time.time_ns(),
            index=index,
            epoch=0,
            to_rgb=self._convert.deferred(frame),
        )

    def close(self) -> None:
        """See `Source`."""
        self._stop.set()
        if self._reading.acquire(blocking=False):
            self._container.close()
            self._reading.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def cpu_seconds(self, first: int, last: int) -> float:
        """CPU of the process between two frames."""
        marks = dict(self.cpu_marks)
        return marks[last] - marks[first]


def decode_all(path: Path) -> int:
    """Decode as a replay does, and nothing else; gives the number of frames."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        return sum(1 for _ in container.decode(stream))
