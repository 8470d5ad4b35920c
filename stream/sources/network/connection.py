"""One connection to one device, as `Reconnecting` uses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from egomon.stream.frame import Gaze, UInt8Image


@dataclass(frozen=True, slots=True, eq=False)
class RawFrame:
    """A frame as its device gives it."""

    pts_seconds: float | None
    mono_ns: int
    wall_ns: int
    to_rgb: Callable[[], UInt8Image]
    lost: int = 0
    """Damaged frames skipped since the one before."""
    gaze: Gaze | None = None
    """See `Frame`."""
    size: tuple[int, int] | None = None
    """Width and height, where only the picture tells them."""


class Connection(Protocol):
    """One attempt at one device; dead for good after the first error, as FFmpeg's objects are."""

    @property
    def packets(self) -> int:
        """What has come so far, in any unit: a sign of life, also without whole pictures."""

    def open(self) -> tuple[int, int, float | None]:
        """Connect; width, height and nominal rate.

        Raises:
            SourceOpenError: it did not work.
            Cancelled: the source is being closed.
        """

    def read(self, timeout_seconds: float) -> RawFrame | None:
        """The next frame, or None if there is none in time; then `read` may be called again.

        Raises:
            SourceLostError: the connection is dead.
            Cancelled: the source is being closed.
        """

    def close(self) -> None:
        """Release; returns within a second, may be called twice."""
