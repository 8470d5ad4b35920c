"""The threads of a run: joined in order, crashes re-raised."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from egomon.errors import EgomonError, WorkerCrashedError
from egomon.stream.worker import Worker

if TYPE_CHECKING:
    from egomon.monitor.workers.source_worker import SourceWorker

logger = logging.getLogger(__name__)

# A wrong name is told before the models load; a slow disk is no reason to give up.
FILE_OPEN_SECONDS = 10.0
FILE_POLL_SECONDS = 0.25
ABANDON_SECONDS = 0.5
"""Last wait for a worker that was asked to stop, seconds."""
EXIT_SECONDS = 10.0
"""Longest wait at exit for a thread inside torch, which would abort the process, seconds."""


@dataclass(slots=True, eq=False)
class Threads:
    """All workers of a run."""

    live: bool
    producers: list[Worker] = field(default_factory=list)
    small: Worker | None = None
    large: Worker | None = None
    emit: Worker | None = None

    @property
    def in_order(self) -> list[Worker]:
        """Workers along the path of the data; the large one ends with its queue."""
        return [*self.producers, *(w for w in (self.small, self.emit) if w is not None)]

    @property
    def fatal(self) -> Worker | None:
        """The crashed worker that ends the run; None if there is none.

        Live, alerts go on without the large branch; a replay ends, its result would depend on
        luck.
        """
        later = [self.large] if self.large is not None and not self.live else []
        return next((w for w in [*self.in_order, *later] if w.crash is not None), None)

    def start_producers(self, inputs: Sequence[SourceWorker], on_crash: Callable[[], None]) -> None:
        """Start a thread for each source; `on_crash` is called once one of them has crashed."""
        for item in inputs:
            worker = Worker(
                f"producer-{item.name}",
                item.run,
                on_crash=lambda _: on_crash(),
                order="first" if self.live else "usual",
            )
            self.producers.append(worker)
            worker.start()

    def wait_for_files(self, inputs: Sequence[SourceWorker], stop: threading.Event) -> None:
        """Raise on a missing file before the models are loaded."""
        deadline = time.monotonic() + FILE_OPEN_SECONDS
        for item in inputs:
            while not item.is_live and time.monotonic() < deadline and not stop.is_set():
                if item.opened.wait(FILE_POLL_SECONDS):
                    break
        self.raise_crash()

    def raise_crash(self) -> None:
        """Raise the exception that ended a worker.

        Raises:
            EgomonError: the worker's own error, or WorkerCrashedError around it.
        """
        worker = self.fatal
        if worker is None:
            return
        if isinstance(worker.crash, EgomonError):
            raise worker.crash
        raise WorkerCrashedError(
            f"the {worker.name} worker crashed: {type(worker.crash).__name__}: {worker.crash}"
        ) from worker.crash

    def join(self, seconds: float) -> None:
        """Join all workers along the path of the data; abandon those that exceed their time."""
        deadline = time.monotonic() + seconds
        for worker in self.in_order:
            if not worker.join(max(0.1, deadline - time.monotonic())):
                logger.warning("%s did not end in time and was abandoned", worker.name)
                worker.stop()
                worker.join(ABANDON_SECONDS)

    def abandon(self) -> None:
        """End the run; a model that is inside a call is joined when Python ends."""
        for worker in (self.small, self.large):
            if worker is not None and worker.alive:
                atexit.register(worker.join, EXIT_SECONDS)
