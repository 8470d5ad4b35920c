"""A thread that can be stopped, whose crash is kept for the main thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Literal

from egomon.stream.priority import lower_priority, raise_priority

logger = logging.getLogger(__name__)

RESTART_SECONDS = 0.5
"""Pause before a body that crashed is run again."""


class Worker:
    """Runs `body(worker)` in a daemon thread.

    A body that raises ends the worker, or is run again, in the same thread, if `may_restart` says
    so. The body looks at `stopping` often and calls `beat` when it has done something, so that a
    watchdog can tell a stuck stage from an idle one. By `order` the thread asks the system to run
    before others, or after them.
    """

    def __init__(
        self,
        name: str,
        body: Callable[[Worker], None],
        *,
        on_crash: Callable[[Worker], None] = lambda worker: None,
        may_restart: Callable[[Worker, Exception], bool] = lambda worker, error: False,
        order: Literal["first", "usual", "last"] = "usual",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._body = body
        self._on_crash = on_crash
        self._may_restart = may_restart
        self._order = order
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"egomon-{name}", daemon=True)
        self.crash: BaseException | None = None
        """Exception that ended the worker."""
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
        """Tell the watchdog that the worker is alive."""
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
        if self._order == "first":
            raise_priority()
        elif self._order == "last":
            lower_priority()
        while True:
            try:
                return self._body(self)
            except BaseException as error:  # kept, and raised again in the main thread
                logger.debug("worker %s crashed", self.name, exc_info=True)
                again = isinstance(error, Exception) and not self.stopping
                if not again or not self._may_restart(self, error):  # type: ignore[arg-type]
                    self.crash = error
                    return self._on_crash(self)
            # The same thread goes on: sockets and models belong to it.
            self._stop.wait(RESTART_SECONDS)
            self.beat()
