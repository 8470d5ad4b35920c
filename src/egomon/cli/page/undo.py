"""Changes of a taught bundle that a person can take back, the newest first."""

from __future__ import annotations

import threading
from collections.abc import Callable

from egomon.errors import UsageError

MOST_UNDONE = 50

Undo = Callable[[], str]
"""Takes one change back, and returns a sentence for the person."""


class UndoStack:
    """What can be undone; for any thread."""

    def __init__(self) -> None:
        self._changes: list[Undo] = []
        self._lock = threading.Lock()

    def push(self, undo: Undo, *, alone: bool = False) -> None:
        """Keep one more change.

        Args:
            undo: takes it back.
            alone: the ones before it cannot be undone any more.
        """
        with self._lock:
            self._changes = [] if alone else self._changes[-MOST_UNDONE + 1 :]
            self._changes.append(undo)

    def clear(self) -> None:
        """Nothing can be undone any more."""
        with self._lock:
            self._changes.clear()

    def undo(self) -> str:
        """Take the newest change back; it stays where that fails.

        Raises:
            UsageError: there is none.
            EgomonError: what the change raises.
        """
        with self._lock:
            if not self._changes:
                raise UsageError("nothing was changed since the start, so nothing is undone")
            told = self._changes[-1]()
            self._changes.pop()
        return told
