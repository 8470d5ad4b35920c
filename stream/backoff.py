"""Backoff: waits between attempts to connect."""

from __future__ import annotations

import random

# A camera that was only moved is back within a second; one that is off is asked twice a minute.
FIRST_SECONDS = 0.5
LONGEST_SECONDS = 30.0
RESET_SECONDS = 30.0
"""Connected for this long: the next loss begins with the shortest wait again."""


class Backoff:
    """Waits that double from half a second to half a minute, half fixed and half random.

    Many monitors of one camera spread out, and none hammers it.

    Args:
        rng: jitter.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()
        self.attempt = 0
        """Waits chosen since the last reset."""
        self.pause_seconds = 0.0
        """The wait that was chosen last; 0 before the first."""

    def fail(self) -> float:
        """Choose the wait after one more failure, in seconds."""
        longest = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(self.attempt, 16))
        self.attempt += 1
        self.pause_seconds = longest * (0.5 + 0.5 * self._rng.random())
        return self.pause_seconds

    def reset(self) -> None:
        """Begin with the shortest wait again."""
        self.attempt, self.pause_seconds = 0, 0.0
