"""Publishes events: to the store, then to the bus, then to sinks and listeners in this process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from egomon.errors import StoreError
from egomon.fusion.messages.types import AlertData, Data, GapData, SegmentData, StatusData
from egomon.fusion.store.events import EventStore, StoredEvent
from egomon.fusion.transport.server import EventServer

logger = logging.getLogger(__name__)

EventListener = Callable[[str, Data], None]
"""Called in the emit thread with the source's name and the event; must be quick."""

# Events are kept for days: a minute more or less is nothing.
PRUNE_SECONDS = 60.0
PRUNE_MORE_SECONDS = 1.0
"""While there is more to remove."""

STORED = (AlertData, GapData, StatusData)


class EventPublisher:
    """Stores and publishes events; owned by the emit thread.

    An event is committed to the store before it is published, so nothing that anybody has seen
    can be lost. If the store fails, alerts still go out and the fault is shown.

    Args:
        bus: numbers and publishes.
        store: keeps what must not be lost.
        sinks: gets each numbered message with its attachments; must not wait or raise.
        store_segments: keep every scored segment too, for reports.
        listeners: dashboards, files, live page.
    """

    def __init__(
        self,
        bus: EventServer,
        store: EventStore,
        *,
        sinks: Callable[[StoredEvent, Data, Sequence[bytes]], object] = lambda *message: None,
        store_segments: bool = True,
        listeners: Sequence[EventListener] = (),
        clock: Callable[[], float] = time.monotonic,
        wall_clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._clock, self._wall_clock_ns = clock, wall_clock_ns
        self._next_prune = clock() + PRUNE_SECONDS
        self._bus = bus
        self._store = store
        self._sinks = sinks
        self._kept = (*STORED, SegmentData) if store_segments else STORED
        self._listeners = tuple(listeners)
        self.store_error: str | None = None
        """Error of the store; None while it works."""

    def emit(self, source: str, data: Data, attachments: Sequence[bytes] = ()) -> None:
        """Store, publish and pass to sinks and listeners."""
        prepared = self._bus.prepare(source, data)
        if isinstance(data, self._kept):
            self._keep(prepared.event)
        self._bus.send(prepared, attachments)
        self._sinks(prepared.event, data, attachments)
        for listener in self._listeners:
            listener(source, data)
        if self._clock() >= self._next_prune:
            self._prune()

    def retry(self) -> None:
        """Write waiting events to a store that has failed: it recovers without a new event."""
        if self.store_error is not None:
            self._keep()

    def _keep(self, *events: StoredEvent) -> None:
        try:
            self._store.append(events)
            if self.store_error is not None:
                logger.warning("the event store works again")
            self.store_error = None
        except StoreError as error:
            if self.store_error is None:
                logger.error("%s; alerts go on without it", error)
            self.store_error = str(error)

    def _prune(self) -> None:
        """One bounded piece of old events at a time, after publishing: no alert waits for it."""
        self._next_prune = self._clock() + PRUNE_SECONDS
        try:
            if self._store.prune(self._wall_clock_ns()):
                self._next_prune = self._clock() + PRUNE_MORE_SECONDS
        except StoreError as error:
            logger.debug("cannot remove old events: %s", error)
