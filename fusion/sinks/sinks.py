"""All sinks of a run together."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from egomon.fusion.messages.types import Data
from egomon.fusion.sinks.backlog import Backlog
from egomon.fusion.sinks.open import find_sink, make_sink
from egomon.fusion.sinks.sink import SinkContext
from egomon.fusion.sinks.worker import SinkWorker
from egomon.fusion.store.tables import StoredEvent
from egomon.stream.redact import redact

DRAIN_SECONDS = 5.0
"""Longest time for the last messages, of all sinks together."""


class Sinks:
    """All sinks of a run; a context manager that opens and ends them together.

    Args:
        references: what the user wrote, e.g. `file:events.jsonl`.
        context: what each is opened with, its stop event aside.
        wait: see `SinkWorker`.
        store: file of the run's event store, if it has one.

    Raises:
        UsageError: a reference names no sink, or one that does not take it.
        PluginError: a plug-in cannot be used.
    """

    def __init__(
        self,
        references: Sequence[str],
        context: SinkContext,
        *,
        wait: bool,
        store: Path | None = None,
    ) -> None:
        self._workers: list[SinkWorker] = []
        made = [(str(find_sink(uri)), make_sink(uri), redact(uri)) for uri in references]
        names: Counter[str] = Counter()
        for plugin, sink, name in made:
            backlog = None if store is None else Backlog(store, name, names[name], context.boot)
            names[name] += 1
            own = replace(context, stop=threading.Event())
            self._workers.append(SinkWorker(plugin, sink, own, backlog=backlog, wait=wait))

    @property
    def lost(self) -> int:
        """Messages that were not delivered."""
        return sum(worker.lost for worker in self._workers)

    @property
    def fault(self) -> str | None:
        """Present error of the first sink that fails; None while all work."""
        return next((w.fault for w in self._workers if w.fault is not None), None)

    def put(self, event: StoredEvent, data: Data, attachments: Sequence[bytes] = ()) -> None:
        """Hand over one message to all; never raises."""
        for worker in self._workers:
            worker.put(event, data, attachments)

    def __enter__(self) -> Self:
        for count, worker in enumerate(self._workers, 1):
            try:
                worker.open()
            except BaseException:
                self._end(self._workers[:count])
                raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._end(self._workers)

    def _end(self, workers: Sequence[SinkWorker]) -> None:
        for worker in workers:
            worker.finish()
        deadline = time.monotonic() + DRAIN_SECONDS
        for worker in workers:
            worker.join(deadline - time.monotonic())
