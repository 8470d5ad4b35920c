"""Records what a camera shows to a video file, beside the watching."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from egomon.fusion.media.output_file import OutputFile
from egomon.stream.channel import Channel, ChannelClosed
from egomon.stream.frame import UInt8Image
from egomon.stream.pictures.scaling import shrunk
from egomon.stream.worker import Worker

FPS = 12.0
"""Pictures a second: half as many again as any bundle samples."""
WIDTH_PX = 640
# A recording that somebody forgot to stop must end by itself.
LONGEST_SECONDS = 600.0
WAITING = 24
"""Pictures that wait for the encoder; then the oldest is left out."""
GET_SECONDS = 0.5
MILLISECOND = Fraction(1, 1000)


class RunRecorder:
    """A `FrameTap` that writes one mp4 in a thread of its own; no camera waits for it.

    Args:
        path: appears once the recording is complete.
        on_end: called in that thread, with the length in seconds, or None where nothing was
            written, and the reason.
        most_bytes: the recording ends there.
        longest_seconds: ... or there.
    """

    def __init__(
        self,
        path: Path,
        on_end: Callable[[float | None, str], None],
        *,
        most_bytes: int,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> None:
        self._path, self._on_end = path, on_end
        self._most_bytes, self._longest_seconds = most_bytes, longest_seconds
        self._first: float | None = None
        self._due = 0.0
        self._queue: Channel[tuple[UInt8Image, float]] = Channel(WAITING, on_full="drop_oldest")
        self.ended = threading.Event()
        """The file is complete, or there is none."""
        self._worker = Worker("recorder", self._run)
        self._worker.start()

    def wants(self, t_seconds: float) -> bool:
        """See `FrameTap`: twelve times a second."""
        return not self._queue.closed and t_seconds >= self._due

    def take(self, rgb: UInt8Image, t_seconds: float) -> None:
        """See `FrameTap`."""
        if self._first is None:
            self._first = t_seconds
        self._due = max(self._due + 1 / FPS, t_seconds + 0.5 / FPS)
        if t_seconds - self._first >= self._longest_seconds:
            self.stop()
            return
        try:
            self._queue.put((shrunk(rgb, WIDTH_PX), t_seconds - self._first))
        except ChannelClosed:
            return

    def stop(self) -> None:
        """No more pictures; what has come is still written."""
        self._queue.close()

    def _run(self, worker: Worker) -> None:
        part = self._path.with_suffix(".part")
        seconds, why = None, "no picture came from the camera"
        try:
            seconds = self._encode(part)
            if seconds is not None:
                os.replace(part, self._path)
        except (OSError, ValueError, av.FFmpegError) as error:
            seconds, why = None, f"it could not be written: {error}"
        finally:
            self.stop()
            part.unlink(missing_ok=True)
            self._on_end(seconds, why)
            self.ended.set()

    def _encode(self, path: Path) -> float | None:
        """Length in seconds; None without a picture."""
        first = self._next()
        if first is None:
            return None
        picture, seconds = first
        high, wide = (side - side % 2 for side in picture.shape[:2])
        with OutputFile(path) as file, av.open(file, "w", format="mp4") as container:
            stream = container.add_stream(
                "libx264", time_base=MILLISECOND, options={"preset": "veryfast", "threads": "1"}
            )
            stream.width, stream.height, stream.pix_fmt = wide, high, "yuv420p"
            written = 0
            item: tuple[UInt8Image, float] | None = first
            while item is not None and written < self._most_bytes:
                if item[0].shape != picture.shape:  # the camera came back with another size
                    break
                cut, seconds = np.ascontiguousarray(item[0][:high, :wide]), item[1]
                frame = av.VideoFrame.from_ndarray(cut, format="rgb24")
                frame.time_base, frame.pts = MILLISECOND, round(seconds * 1000)
                for packet in stream.encode(frame):
                    written += packet.size
                    container.mux(packet)
                item = self._next()
            container.mux(stream.encode(None))
        return seconds

    def _next(self) -> tuple[UInt8Image, float] | None:
        """The next picture; None once there are no more."""
        while True:
            try:
                item = self._queue.get(GET_SECONDS)
            except ChannelClosed:
                return None
            if item is not None:
                return item
