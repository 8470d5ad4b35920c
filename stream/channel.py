"""A bounded queue that can be closed, fail and wake a poller: the seam between two threads."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, Literal, TypeVar

T = TypeVar("T")

WAIT_SECONDS = 0.5
"""Longest single wait, so that a closed channel is seen even if a wake-up was lost."""


class ChannelClosed(Exception):
    """The channel is closed: `get` has no more items, `put` takes none."""


class WakeUp:
    """A file descriptor that becomes readable when someone calls `notify`; for zmq and select."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._lock = threading.Lock()
        self._closed = False

    def fileno(self) -> int:
        """Descriptor to poll for reading."""
        return self._read

    def notify(self) -> None:
        """Wake the poller; never blocks."""
        with self._lock:
            if self._closed:
                return
            try:
                os.write(self._write, b"x")
            except BlockingIOError:
                return  # the pipe is full: the poller is awake anyway

    def clear(self) -> None:
        """Forget the wake-ups seen so far."""
        try:
            while os.read(self._read, 4096):
                pass
        except BlockingIOError:
            return

    def close(self) -> None:
        """Release both ends."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._read)
                os.close(self._write)


class Channel(Generic[T]):
    """Items in order from one or more writers to one reader.

    `on_full = "wait"` blocks the writer, `"drop_oldest"` makes room and counts. After `close` the
    reader still gets what is queued, then `ChannelClosed`.
    """

    def __init__(
        self,
        capacity: int,
        *,
        on_full: Literal["wait", "drop_oldest"] = "wait",
        wake: WakeUp | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._on_full = on_full
        self._wake = wake
        self._clock = clock
        self._condition = threading.Condition()
        self._closed = False
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def closed(self) -> bool:
        """True once closed, even while items are left."""
        return self._closed

    def put(self, item: T, timeout_seconds: float | None = None) -> bool:
        """Add an item; False if there was no room within the time-out.

        Raises:
            ChannelClosed: the channel was closed.
        """
        deadline = None if timeout_seconds is None else self._clock() + timeout_seconds
        with self._condition:
            while len(self._items) >= self._capacity and not self._closed:
                if self._on_full == "drop_oldest":
                    self._items.popleft()
                    self.dropped += 1
                elif not self._wait(deadline):
                    return False
            if self._closed:
                raise ChannelClosed
            self._items.append(item)
            self._condition.notify_all()
        if self._wake is not None:
            self._wake.notify()
        return True

    def get(self, timeout_seconds: float | None = None) -> T | None:
        """Take the oldest item; None after the time-out.

        Raises:
            ChannelClosed: closed and empty.
        """
        deadline = None if timeout_seconds is None else self._clock() + timeout_seconds
        with self._condition:
            while not self._items:
                if self._closed:
                    raise ChannelClosed
                if not self._wait(deadline):
                    return None
            item = self._items.popleft()
            self._condition.notify_all()
            return item

    def close(self) -> None:
        """No more items; wakes everyone. May be called twice."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        if self._wake is not None:
            self._wake.notify()

    def _wait(self, deadline: float | None) -> bool:
        if deadline is None:
            self._condition.wait(WAIT_SECONDS)
            return True
        left = deadline - self._clock()
        if left <= 0:
            return False
        self._condition.wait(min(left, WAIT_SECONDS))
        return True
