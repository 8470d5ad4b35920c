"""Restarts crashed workers of a live run, a few times, and reports it."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

from egomon.monitor.operations.watchdog import RESTART_WINDOW_SECONDS, RestartBudget
from egomon.stream.redact import redact
from egomon.stream.worker import Worker

logger = logging.getLogger(__name__)


class Restarts:
    """Decides whether a crashed worker may restart: at most five times a minute each.

    Args:
        allowed: False in a replay, whose result must not depend on luck: it ends.
        clock: monotonic seconds.
    """

    def __init__(self, *, allowed: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowed = allowed
        self._clock = clock
        self._budgets: dict[str, RestartBudget] = {}
        self._last: tuple[float, str] | None = None
        self.counts: Counter[str] = Counter()
        """Restarts by worker."""

    def may_restart(self, worker: Worker, error: Exception) -> bool:
        """Count a crash and decide; called in the crashed worker's thread."""
        budget = self._budgets.setdefault(worker.name, RestartBudget(clock=self._clock))
        if not self._allowed or not budget.take():
            return False
        self.counts[worker.name] += 1
        what = redact(f"{type(error).__name__}: {error}")
        logger.error("the %s worker crashed and is started again", worker.name, exc_info=error)
        told = f"the {worker.name} worker crashed and was started again: {what}"
        self._last = (self._clock(), told)
        return True

    def fault(self) -> str | None:
        """Sentence on restarts within the last minute; None without any."""
        if self._last is None or self._clock() - self._last[0] >= RESTART_WINDOW_SECONDS:
            return None
        return self._last[1]
