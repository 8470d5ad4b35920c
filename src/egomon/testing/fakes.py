"""Sources, encoders, listeners and clocks without cameras, models or time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from egomon.branches.interfaces import Float32
from egomon.stream.frame import Grab, SourceInfo, SourceKind, UInt8Image
from egomon.stream.source import Discontinuity, StateChange
from egomon.units import NS_PER_SECOND


class FakeClock:
    """Seconds that only a test moves."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The current second; use the object itself where `time.monotonic` is wanted."""
        return self.now

    def ns(self) -> int:
        """The same in nanoseconds."""
        return int(self.now * NS_PER_SECOND)


def image(value: int, px: int = 8) -> UInt8Image:
    """A square picture of one brightness."""
    return np.full((px, px, 3), value % 256, dtype=np.uint8)


@dataclass
class FrameList:
    """A source that gives made-up frames."""

    frames: Iterable[tuple[float, int, int]]
    """(t_seconds, epoch, brightness 0..255) of each."""
    name: str = "fake"
    kind: SourceKind = "file"
    px: int = 64
    """Side of the square pictures."""
    on_read: Callable[[int], None] = lambda index: None
    """Called before each frame with its number."""
    closed: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._frames = iter(self.frames)
        self._count = 0

    @property
    def info(self) -> SourceInfo:
        """See `Source`."""
        return SourceInfo(self.name, "fake:", self.kind, self.px, self.px, 10.0, None)

    def read(self) -> Grab | None:
        """See `Source`."""
        self.on_read(self._count)
        item = None if self.closed else next(self._frames, None)
        if item is None:
            return None
        t, epoch, value = item
        self._count += 1
        return Grab(
            t_seconds=t,
            mono_ns=int(t * NS_PER_SECOND),
            wall_ns=int(t * NS_PER_SECOND),
            index=self._count - 1,
            epoch=epoch,
            to_rgb=lambda: image(value, self.px),
        )

    def close(self) -> None:
        """See `Source`."""
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class BrightnessEncoder:
    """Vector of an image: its mean brightness in 0..1, twice; easy to steer from a test."""

    dim = 2
    image_px = 8

    def __init__(self) -> None:
        self.batches: list[int] = []
        """Number of images of each call."""

    def prepare(self, rgb: UInt8Image) -> UInt8Image:
        """Upper left corner."""
        return np.ascontiguousarray(rgb[: self.image_px, : self.image_px])

    def encode(self, images: UInt8Image) -> Float32:
        """See `FrameEncoder`."""
        self.batches.append(len(images))
        level = images.reshape(len(images), -1).mean(axis=1, dtype=np.float64) / 255.0
        return np.stack([level, level], axis=1).astype(np.float32)


class RecordingListener:
    """A `SourceListener` that remembers."""

    def __init__(self) -> None:
        self.states: list[StateChange] = []
        self.gaps: list[Discontinuity] = []

    def on_state(self, change: StateChange) -> None:
        """See `SourceListener`."""
        self.states.append(change)

    def on_gap(self, gap: Discontinuity) -> None:
        """See `SourceListener`."""
        self.gaps.append(gap)
