"""Plays a recording again from its frame vectors: all of the monitor but decoding and encoding."""

from __future__ import annotations

import time
from typing import Self

import numpy as np
from numpy.typing import NDArray

from egomon.branches.interfaces import Float32
from egomon.stream.frame import Grab, SourceInfo, UInt8Image
from egomon.train.features.recording import RecordingVectors
from egomon.units import NS_PER_SECOND

BASE = np.array([1 << 16, 1 << 8, 1], np.int64)
"""Digits of a row number, written into the three colours of a picture of one pixel."""


class VectorSource:
    """`Source` over the sampled frames; a frame's picture is its row number.

    Args:
        recording: what is played; its name is the source's address.
        name: topic name.
        fps: the sampling rate.
    """

    def __init__(self, recording: RecordingVectors, name: str, fps: float) -> None:
        self._times = [float(t) for t in recording.times]
        if recording.end_seconds is not None and recording.end_seconds > self._times[-1]:
            # Decoded and not sampled; only says how long the recording is.
            self._times.append(recording.end_seconds)
        seconds = self._times[-1]
        self.info = SourceInfo(name, recording.name, "file", 1, 1, fps, seconds)
        self._next = 0
        self._closed = False

    def read(self) -> Grab | None:
        """The next frame; None at the end."""
        row = self._next
        if self._closed or row >= len(self._times):
            return None
        self._next += 1
        t = self._times[row]
        return Grab(
            t, time.monotonic_ns(), int(t * NS_PER_SECOND), row, 0, lambda: picture_of(row), t
        )

    def close(self) -> None:
        """No more frames."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def picture_of(row: int) -> UInt8Image:
    """(1, 1, 3): the digits of a row number."""
    return ((row // BASE) % 256).astype(np.uint8).reshape(1, 1, 3)


class VectorEncoder:
    """`FrameEncoder` that reads a row number from each picture and gives the row."""

    image_px = 1

    def __init__(self, recording: RecordingVectors) -> None:
        self._vectors = recording.vectors
        self.dim = int(recording.vectors.shape[1])

    def prepare(self, rgb: UInt8Image) -> UInt8Image:
        """See `FrameEncoder`."""
        return rgb

    def encode(self, images: NDArray[np.uint8]) -> Float32:
        """(B, 1, 1, 3) to (B, D)."""
        found: Float32 = self._vectors[images[:, 0, 0].astype(np.int64) @ BASE]
        return found
