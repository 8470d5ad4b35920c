"""The thread that answers requests of clients, so that none of their work is done beside alerts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Self

import zmq

from egomon.fusion.transport.server import ControlHandler, EventServer
from egomon.stream.channel import WakeUp
from egomon.stream.worker import Worker

logger = logging.getLogger(__name__)

# A request wakes the thread at once; this is for the end of the monitor.
POLL_MS = 250
# It rests as long as it worked: requests get half of a core at the most.
LONGEST_REST_SECONDS = 0.25
JOIN_SECONDS = 2.0
"""More than any one answer takes, see `READ_SECONDS` of the store."""


class RequestWorker:
    """Answers requests until it is closed; a context manager that starts and ends its thread.

    It rests as long as it has worked, up to 0.25 s: all clients together take at most half of one
    core, and the sockets give each of them its turn.

    Args:
        bus: has the socket; without one there is nothing to do.
        handler: does what is asked for.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        bus: EventServer,
        handler: ControlHandler,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus, self._handler, self._clock = bus, handler, clock
        self._wake = WakeUp()
        self._worker = Worker("requests", self._run, may_restart=_told)

    def __enter__(self) -> Self:
        if self._bus.request_socket is not None:
            self._worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.stop()
        self._wake.notify()
        if self._bus.request_socket is not None and not self._worker.join(JOIN_SECONDS):
            logger.warning("a request did not end in time and was abandoned")
        self._wake.close()

    def _run(self, worker: Worker) -> None:
        poller = zmq.Poller()
        poller.register(self._wake.fileno(), zmq.POLLIN)
        poller.register(self._bus.request_socket, zmq.POLLIN)
        while not worker.stopping:
            poller.poll(POLL_MS)
            began = self._clock()
            if self._bus.serve_requests(self._handler):
                worker.wait(min(self._clock() - began, LONGEST_REST_SECONDS))


def _told(worker: Worker, error: Exception) -> bool:
    """Alerts go on whatever a request has done; only this thread begins anew."""
    logger.error("a request failed: %s: %s", type(error).__name__, error)
    return True
