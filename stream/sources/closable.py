"""Closing a source from another thread than the one that reads it."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from typing import Self

from egomon.stream.sources.device_thread import CHECK_SECONDS


class StopEvent(threading.Event):
    """Set by `set`, or by the event it follows; setting it leaves that one alone.

    A source that ends must not end the monitor, whose event tells all sources to stop.
    """

    def __init__(self, followed: threading.Event | None = None) -> None:
        super().__init__()
        self._followed = followed

    def is_set(self) -> bool:
        """Whether either is set."""
        return super().is_set() or (self._followed is not None and self._followed.is_set())

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until either is set, or so many seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.is_set():
            left = CHECK_SECONDS if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return False
            super().wait(min(left, CHECK_SECONDS))
        return True


class ClosableSource(ABC):
    """A source that is read under `_lock`, for as long as `_stop` is not set.

    Args:
        stop: also ends waiting and reading; `close` does not set it.
    """

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = StopEvent(stop)
        self._lock = threading.Lock()

    def close(self) -> None:
        """See `Source`."""
        self._stop.set()
        # A read that is under way sees the event soon, and lets go of everything itself.
        if self._lock.acquire(blocking=False):
            try:
                self._finish()
            finally:
                self._lock.release()

    @abstractmethod
    def _finish(self) -> None:
        """Let go of everything, under the lock; may be called again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
