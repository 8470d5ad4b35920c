"""A thread that can be stopped, whose crash is kept for the main thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Worker:
    """Runs `body(worker)` in a daemon thread.

    The body looks at `stopping` often and calls `beat` when it has done something, so that a
    watchdog can tell a stuck stage from an idle one.
    """

    def __init__(
        self,
        name: str,
        body: Callable[[Worker], None],
        *,
        on_crash: Callable[[Worker], None] = lambda worker: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._body = body
        self._on_crash = on_crash
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"egomon-{name}", daemon=True)
        self.crash: BaseException | None = None
        self.last_beat = clock()

    @property
    def stopping(self) -> bool:
        """True once `stop` was called."""
        return self._stop.is_set()

    @property
    def alive(self) -> bool:
        """True while the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def beat(self) -> None:
        """Say that the worker is alive."""
        self.last_beat = self._clock()

    def wait(self, seconds: float) -> bool:
        """Sleep unless stopped; True if stopped."""
        return self._stop.wait(seconds)

    def stop(self) -> None:
        """Ask the body to return."""
        self._stop.set()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the end; False if the thread still runs (it is a daemon, and is abandoned)."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._body(self)
        except BaseException as error:  # kept, and raised again in the main thread
            logger.debug("worker %s crashed", self.name, exc_info=True)
            self.crash = error
            self._on_crash(self)
