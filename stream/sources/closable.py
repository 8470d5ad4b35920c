"""Closing a source from another thread than the one that reads it."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import Self


class ClosableSource(ABC):
    """A source that is read under `_lock`, for as long as `_stop` is not set.

    Args:
        stop: ends waiting and reading; None = one of its own.
    """

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = stop or threading.Event()
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
