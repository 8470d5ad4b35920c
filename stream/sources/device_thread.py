"""One thread that owns one device, so that a wait for it can always be cut short."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

CHECK_SECONDS = 0.1
# A call that is still blocked then may block for ten seconds more: the thread is left to end alone.
JOIN_SECONDS = 0.5


class Cancelled(Exception):
    """The wait was cut short because the source is being closed."""


class Future(Generic[T]):
    """Result or exception of a submitted task."""

    def __init__(self, task: Callable[[], T]) -> None:
        self._task = task
        self._done = threading.Event()
        self._value: T | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Run the task, in the device's thread."""
        try:
            self._value = self._task()
        except BaseException as error:  # handed to the waiting thread, which raises it
            self._error = error
        self._done.set()

    def wait(self, timeout_seconds: float, stop: threading.Event) -> bool:
        """Wait for the result; False after the time-out.

        Raises:
            Cancelled: `stop` was set.
        """
        deadline = time.monotonic() + timeout_seconds
        while not self._done.is_set():
            if stop.is_set():
                raise Cancelled
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._done.wait(min(left, CHECK_SECONDS))
        return True

    def result(self) -> T:
        """Return the value after a successful `wait`, or raise the task's exception; once."""
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
        finally:
            del error
        return self._value  # type: ignore[return-value]

    def forget(self) -> None:
        """Drop what nobody will ask for; a traceback holds a decoder, its threads and this."""
        self._value = self._error = None


class DeviceThread:
    """Runs tasks one after another in a thread of its own.

    FFmpeg and V4L2 calls block for seconds on a silent camera and cannot be interrupted from
    outside; their objects must also stay in one thread. So the thread is a daemon: on close it is
    abandoned if it does not come back at once, and it releases the device by itself as soon as
    the blocked call returns (FFmpeg's own time-outs bound that).
    """

    def __init__(self, name: str, release: Callable[[], None]) -> None:
        self._tasks: queue.SimpleQueue[Future[object] | None] = queue.SimpleQueue()
        self._release = release
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, task: Callable[[], T]) -> Future[T]:
        """Run a task after the ones before it."""
        answer: Future[T] = Future(task)
        self._tasks.put(answer)  # type: ignore[arg-type]
        return answer

    def close(self) -> None:
        """Release the device in its thread; waits shortly for it. May be called twice."""
        if not self._closed:
            self._closed = True
            self._tasks.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join(JOIN_SECONDS)

    def _work(self) -> None:
        try:
            while (answer := self._tasks.get()) is not None:
                answer.run()
        finally:
            self._release()
