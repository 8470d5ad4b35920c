"""State of the domain: measured once each second of media time, with hysteresis."""

from __future__ import annotations

from collections import deque
from typing import Literal

import numpy as np

from egomon.branches.interfaces import DomainGuard, Float32, Float64

DomainState = Literal["unknown", "in_domain", "out_of_domain"]

# A single frame may be blurred or covered; two seconds of them are a place.
WINDOW_SECONDS = 2.0
STRIDE_SECONDS = 1.0


class OutOfDomainDetector:
    """Measures the last two seconds of frame vectors once a second, with hysteresis.

    The state changes after `enter` (or `leave`) windows in a row on the other side of the limit;
    from `unknown` the first window decides, so footage that is foreign from the start never
    raises an alert first.
    """

    def __init__(self, guard: DomainGuard | None, *, enter: int, leave: int) -> None:
        self._guard = guard
        self._enter, self._leave = enter, leave
        self._recent: deque[tuple[float, Float32]] = deque()
        self._next_seconds: float | None = None
        self._in_a_row = 0
        self.state: DomainState = "unknown"
        self.distance: float | None = None
        """Of the last window; None without a guard."""

    def push(self, times: Float64, vectors: Float32) -> None:
        """Add consecutive frames: (B,) and (B, D)."""
        if self._guard is None:
            return
        for t, vector in zip(times.tolist(), vectors, strict=True):
            self._recent.append((t, vector))
            while t - self._recent[0][0] > WINDOW_SECONDS:
                self._recent.popleft()
            if self._next_seconds is None:
                self._next_seconds = t + STRIDE_SECONDS
            if t >= self._next_seconds:
                self._measure(self._guard)
                self._next_seconds = t + STRIDE_SECONDS

    def is_foreign(self, vectors: Float32) -> bool:
        """True if this clip alone, (T, D), is beyond the limit."""
        guard = self._guard
        return guard is not None and len(vectors) > 0 and guard.distance(vectors) > guard.limit

    def _measure(self, guard: DomainGuard) -> None:
        self.distance = guard.distance(np.stack([vector for _, vector in self._recent]))
        seen: DomainState = "out_of_domain" if self.distance > guard.limit else "in_domain"
        if seen == self.state:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        needed = {"unknown": 1, "in_domain": self._enter, "out_of_domain": self._leave}
        if self._in_a_row >= needed[self.state]:
            self.state = seen
            self._in_a_row = 0
