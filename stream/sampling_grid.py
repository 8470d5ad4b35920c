"""The sampling grid: which frames of a source are scored, decided by media time alone."""

from __future__ import annotations

# Times are multiples of a time base; a frame a rounding error early still belongs to its point.
TOLERANCE_PERIODS = 1e-3


class SamplingGrid:
    """Takes the first frame at or after each multiple of 1/fps.

    Defined by PTS, so training, replay and live see the same frames of the same video. After a
    hole the grid goes on with the next frame; no frame serves two points.

    Args:
        fps: points a second.
        after_seconds: go on after a frame that was sampled before, at this time.
    """

    def __init__(self, fps: float, *, after_seconds: float | None = None) -> None:
        if not fps > 0:
            raise ValueError(f"fps must be above 0, got {fps}")
        self.fps = fps
        self._last = -1 if after_seconds is None else self.point(after_seconds)

    @property
    def period_seconds(self) -> float:
        """Seconds between two points."""
        return 1.0 / self.fps

    def point(self, t_seconds: float) -> int:
        """Return the number of the grid point that a time belongs to."""
        return int(t_seconds * self.fps + TOLERANCE_PERIODS)

    def accepts(self, t_seconds: float) -> bool:
        """Return whether this frame is sampled; times must not go back."""
        point = self.point(t_seconds)
        if point <= self._last:
            return False
        self._last = point
        return True
