"""Watchdog: finds stuck threads, limits restarts, reports to systemd."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable

from egomon.stream.worker import Worker

logger = logging.getLogger(__name__)

# Above the longest step without a beat: a batch of frames on a busy machine takes seconds.
STUCK_SECONDS = 10.0
# A fault that comes back at once is not mended by a sixth start: the monitor ends and says why.
MOST_RESTARTS = 5
RESTART_WINDOW_SECONDS = 60.0
# Well below a usual `WatchdogSec`.
NOTIFY_SECONDS = 1.0


class RestartBudget:
    """At most so many restarts in a sliding window.

    Args:
        most: restarts that are allowed.
        window_seconds: within this time.
    """

    def __init__(
        self,
        most: int = MOST_RESTARTS,
        window_seconds: float = RESTART_WINDOW_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._window_seconds = window_seconds
        self._clock = clock
        self._times: deque[float] = deque()

    def take(self) -> bool:
        """Count a restart; True if it is allowed."""
        now = self._clock()
        while self._times and now - self._times[0] >= self._window_seconds:
            self._times.popleft()
        if len(self._times) >= self._most:
            return False
        self._times.append(now)
        return True


class Watchdog:
    """Checks that workers are alive; called by the main thread a few times a second, never blocks.

    A worker without a heartbeat for `stuck_seconds` is reported once, with the
    stacks of all threads, until it beats again.

    Args:
        stages: workers that must be moving now; one that waits for a camera is not among them.
        frames: frames decoded so far; systemd hears of us only while this number grows.
        dump: stacks of all threads as text.
        notify: sends a line to systemd.
    """

    def __init__(
        self,
        engines: Callable[[], Iterable[Worker]],
        frames: Callable[[], int],
        *,
        stuck_seconds: float = STUCK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        dump: Callable[[], str] | None = None,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        self._engines = engines
        self._frames = frames
        self._stuck_seconds = stuck_seconds
        self._clock = clock
        self._dump = dump or all_stacks
        self._notify = notify or sd_notify
        self._reported: set[str] = set()
        self._seen_frames = 0
        self._next_notify = clock()
        self.trouble: str | None = None
        """Sentence on the worker that is stuck; None if none is."""

    def check(self) -> str | None:
        """Check all workers; return `trouble`."""
        now = self._clock()
        stuck = [
            worker
            for worker in self._engines()
            if worker.alive and now - worker.last_beat > self._stuck_seconds
        ]
        names = {worker.name for worker in stuck}
        if names - self._reported:
            logger.error(
                "stuck for more than %g s: %s\n%s",
                self._stuck_seconds,
                ", ".join(sorted(names)),
                self._dump(),
            )
        if self._reported - names:
            logger.warning("moving again: %s", ", ".join(sorted(self._reported - names)))
        self._reported = names
        self.trouble = f"stage {', '.join(sorted(names))} is stuck" if names else None
        self._tell_systemd(now)
        return self.trouble

    def _tell_systemd(self, now: float) -> None:
        if now < self._next_notify:
            return
        self._next_notify = now + NOTIFY_SECONDS
        frames = self._frames()
        if frames > self._seen_frames and self.trouble is None:
            self._notify("READY=1\nWATCHDOG=1" if self._seen_frames == 0 else "WATCHDOG=1")
        self._seen_frames = frames


def all_stacks() -> str:
    """Format the stack of every thread."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    lines = []
    for ident, top in sys._current_frames().items():
        lines.append(f"Thread {names.get(ident, ident)}:")
        lines += [line.rstrip() for line in traceback.format_stack(top)]
    return "\n".join(lines)


def sd_notify(text: str) -> None:
    """Notify systemd, if it started the process (sd_notify(3)); a failure is ignored."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # the abstract namespace
        address = "\0" + address[1:]
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line,
    ):
        line.setblocking(False)
        line.sendto(text.encode(), address)
