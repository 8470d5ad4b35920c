"""What a camera's driver gives, whichever library asks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from egomon.stream.frame import UInt8Image


@dataclass(frozen=True, slots=True, eq=False)
class CameraPicture:
    """One picture, not decoded yet."""

    pts_seconds: float | None
    """The driver's own stamp, which has less jitter than arrival; None = it has none."""
    decode: Callable[[], UInt8Image | None]
    """RGB (H, W, 3), contiguous; None if damaged. Called before the next `next`."""


class OpenCamera(Protocol):
    """An opened camera, used by one thread."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height that the driver gives, in pixels."""

    @property
    def fps(self) -> float | None:
        """Rate that the driver names; None = none."""

    def wait(self, seconds: float) -> bool:
        """Whether `next` will return at once, or raise; waits so long for it at most."""

    def next(self) -> CameraPicture | None:
        """The next picture; None for one that the driver calls damaged.

        Raises:
            SourceLostError: DEVICE_NOT_FOUND, the camera is gone.
        """

    def close(self) -> None:
        """Release it."""
