"""A seeded moving pattern: for tests, benchmarks and machines without a camera."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

import numpy as np

from egomon.stream.frame import Grab, SourceInfo, UInt8Image
from egomon.stream.source import SilentListener, SourceListener, StateChange

# Six days at 30 frames/s, in cells wide enough to survive a codec.
INDEX_BITS = 24


class SyntheticSource:
    """Moving stripes with the frame's number as bright squares along the top edge.

    Args:
        realtime: deliver at `fps` like a camera (kind `live`); else as fast as asked (`file`).

    Raises:
        ValueError: a rate, length or size out of range.
    """

    def __init__(
        self,
        *,
        name: str,
        seed: int = 0,
        seconds: float = 10.0,
        fps: float = 30.0,
        width: int = 320,
        height: int = 240,
        realtime: bool = False,
        listener: SourceListener | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 < fps <= 1000 or not 0 <= seconds <= 1e6:
            raise ValueError("fps has to be within 0..1000, seconds within 0..1000000")
        if not 24 <= width <= 8192 or not 1 <= height <= 8192:
            raise ValueError("size has to be within 24x1..8192x8192")
        self._listener = listener or SilentListener()
        self._count = round(seconds * fps)
        self._fps = fps
        self._clock = clock
        self._realtime = realtime
        self._started: float | None = None
        self._index = 0
        self._stop = threading.Event()
        rng = np.random.default_rng(seed)
        self._speed, self._width_px = rng.uniform(20, 80), rng.uniform(20, 60)
        self._colour = rng.integers(60, 255, size=3)
        self._columns = np.arange(width, dtype=np.float32)
        self._info = SourceInfo(
            name=name,
            uri=f"synthetic:seed={seed},seconds={seconds:g},fps={fps:g},size={width}x{height}",
            kind="live" if realtime else "file",
            width=width,
            height=height,
            fps=fps,
            duration_seconds=None if realtime else self._count / fps,
        )

    @property
    def info(self) -> SourceInfo:
        """See `Source`."""
        return self._info

    def read(self) -> Grab | None:
        """See `Source`."""
        if self._index == 0:
            self._listener.on_state(StateChange("online"))
        if self._stop.is_set() or self._index >= self._count:
            if not self._stop.is_set():
                self._listener.on_state(StateChange("ended"))
                self._stop.set()
            return None
        index, t = self._index, self._index / self._fps
        if self._realtime:
            self._started = self._clock() if self._started is None else self._started
            if self._stop.wait(max(0.0, self._started + t - self._clock())):
                return None
        self._index += 1
        return Grab(
            t_seconds=t,
            mono_ns=time.monotonic_ns(),
            wall_ns=time.time_ns(),
            index=index,
            epoch=0,
            to_rgb=lambda: self._draw(index, t),
        )

    def close(self) -> None:
        """See `Source`."""
        self._stop.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _draw(self, index: int, t: float) -> UInt8Image:
        height, width = self._info.height, self._info.width
        phase = (self._columns + t * self._speed) / self._width_px
        line = (np.sin(2 * np.pi * phase)[:, None] * 0.4 + 0.6) * self._colour
        picture = np.repeat(line[None].astype(np.uint8), height, axis=0)
        cell = max(1, width // INDEX_BITS)
        for bit in range(INDEX_BITS):
            picture[:cell, bit * cell : (bit + 1) * cell] = 255 if index >> bit & 1 else 0
        return picture


def read_index(image: UInt8Image) -> int:
    """The frame number that is drawn in a picture of a `SyntheticSource`."""
    cell = max(1, image.shape[1] // INDEX_BITS)
    middle = cell // 2
    bits = [int(image[middle, bit * cell + middle].mean() > 127) for bit in range(INDEX_BITS)]
    return sum(bit << place for place, bit in enumerate(bits))
