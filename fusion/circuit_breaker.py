"""Circuit breaker: stops calls to a failing large branch."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Literal

BreakerState = Literal["closed", "open", "half-open"]

# A call that fails costs its segment the deadline: after three a fourth would not do better.
FAILURES_IN_A_ROW = 3
# A server that fails now and then is not worth its delay either: half of ten is too much.
RECENT_CALLS = 10
FAILED_SHARE = 0.5
# A server that is started again needs that long; one that is gone is asked every five minutes.
FIRST_PAUSE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 300.0
# Monitors that lost the same server must not all come back at the same moment.
JITTER = 0.1


class CircuitBreaker:
    """Opens after 3 failures in a row, half of the last 10, or one out-of-memory.

    It stays open for 10 s, doubling up to 300 s (10 % jitter), then lets one probe through; a
    good probe closes it.

    Args:
        clock: seconds; media time in replay, so that a replay repeats.
    """

    def __init__(self, clock: Callable[[], float], *, seed: int = 0) -> None:
        self._clock = clock
        self._random = random.Random(seed)
        self._recent: deque[bool] = deque(maxlen=RECENT_CALLS)
        self._in_a_row = 0
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._reopen_at = 0.0
        self._probing = False
        self._state: BreakerState = "closed"
        self.opened = 0
        """How often it opened."""

    @property
    def state(self) -> BreakerState:
        """`open` turns into `half-open` when the pause is over."""
        if self._state == "open" and self._clock() >= self._reopen_at:
            self._state = "half-open"
            self._probing = False
        return self._state

    def allow(self) -> bool:
        """True if a call may be made now; in `half-open` only one at a time."""
        state = self.state
        if state == "closed":
            return True
        if state == "open" or self._probing:
            return False
        self._probing = True
        return True

    def withdraw(self) -> None:
        """Take back an allowed call that was not made."""
        self._probing = False

    def success(self) -> None:
        """Note a call that gave a score."""
        self._recent.append(True)
        self._in_a_row = 0
        if self._state == "half-open":
            self._state = "closed"
            self._recent.clear()
            self._pause_seconds = FIRST_PAUSE_SECONDS
        self._probing = False

    def failure(self, *, out_of_memory: bool = False) -> None:
        """Note a call that raised, hung or gave no finite score."""
        self._recent.append(False)
        self._in_a_row += 1
        full = len(self._recent) == RECENT_CALLS
        failed = self._recent.count(False) / RECENT_CALLS
        if (
            self._state == "half-open"
            or out_of_memory
            or self._in_a_row >= FAILURES_IN_A_ROW
            or (full and failed >= FAILED_SHARE)
        ) and self._state != "open":
            self._open()

    def _open(self) -> None:
        self._state = "open"
        self.opened += 1
        jitter = 1.0 + self._random.uniform(-JITTER, JITTER)
        self._reopen_at = self._clock() + self._pause_seconds * jitter
        self._pause_seconds = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)
        self._recent.clear()
        self._in_a_row = 0
        self._probing = False
