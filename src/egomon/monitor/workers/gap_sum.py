"""Lost frames of one source, summed until somebody tells them: a flood of faults is one message."""

from __future__ import annotations

import threading
from dataclasses import replace

from egomon.fusion.messages.types import GapData
from egomon.stream.source import Discontinuity


class GapSum:
    """Sums by cause; the reading thread adds, the emit thread takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[str, Discontinuity] = {}

    def add(self, gap: Discontinuity) -> bool:
        """Count a loss; True if it is the first since `take`, so that somebody must be told."""
        with self._lock:
            first = not self._sums
            before = self._sums.get(gap.cause)
            self._sums[gap.cause] = gap if before is None else _joined(before, gap)
            return first

    def take(self) -> list[GapData]:
        """Return one message for each cause, and begin anew."""
        with self._lock:
            sums, self._sums = self._sums, {}
        return [
            GapData(
                cause=gap.cause,
                count=gap.count,
                from_pts=gap.from_seconds,
                to_pts=gap.to_seconds,
            )
            for gap in sums.values()
        ]


def _joined(first: Discontinuity, second: Discontinuity) -> Discontinuity:
    return replace(
        first,
        count=first.count + second.count,
        from_seconds=second.from_seconds if first.from_seconds is None else first.from_seconds,
        to_seconds=first.to_seconds if second.to_seconds is None else second.to_seconds,
    )
