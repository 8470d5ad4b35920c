"""A thread in which a file is written, so that a disk that hangs holds up nobody for long."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from egomon.errors import StoreError

T = TypeVar("T")


class DiskThread:
    """Runs one piece of work at a time, each in full.

    Args:
        patience_seconds: longest wait of a caller; what takes longer is done all the same.
    """

    def __init__(self, patience_seconds: float) -> None:
        self._patience = patience_seconds
        self._executor = ThreadPoolExecutor(1, "egomon-store")
        self._under_way: Future[Any] | None = None

    def run(self, work: Callable[[], T]) -> T:
        """Result of `work`; for callers in one thread.

        Raises:
            StoreError: it takes too long; or, at once, what was asked for before still does, and
                `work` was not begun.
        """
        if self._under_way is None or self._under_way.done():
            answer = self._executor.submit(work)
            self._under_way = answer
            try:
                return answer.result(self._patience)
            except TimeoutError:
                pass
        raise StoreError(
            f"the disk of the event store did not answer within {self._patience:g} s; "
            "look whether it is busy, failing or away"
        )

    def close(self) -> None:
        """Wait for what is under way; idempotent."""
        self._executor.shutdown()
