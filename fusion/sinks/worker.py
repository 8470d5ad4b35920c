"""Sinks in threads of their own: a slow or failing one costs its own messages, no alert."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Self

from egomon.errors import EgomonError, PluginError
from egomon.fusion.messages.envelope import decode_envelope
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.types import Data
from egomon.fusion.sinks.open import find_sink, make_sink
from egomon.fusion.sinks.sink import Sink, SinkContext
from egomon.fusion.store.tables import StoredEvent
from egomon.stream.channel import Channel, ChannelClosed
from egomon.stream.redact import redact
from egomon.stream.worker import Worker

logger = logging.getLogger(__name__)

CAPACITY = 1024
OPEN_SECONDS = 10.0
POLL_SECONDS = 0.5
DRAIN_SECONDS = 5.0
"""Longest time for the last messages, of all sinks together."""
ABANDON_SECONDS = 0.5
ROOM_SECONDS = 10.0
"""Replay: longest wait for room in the queue of a sink that does not move."""
TOLD_SECONDS = 60.0
"""Dropped messages are shown in the status for so long."""

_Waiting = tuple[StoredEvent, Data, tuple[bytes, ...]]


class SinkWorker:
    """One sink behind its queue.

    Args:
        plugin: what to call it in messages, e.g. `the sink 'file' of package egomon`.
        sink: made, not yet open.
        context: what it is opened with.
        wait: a full queue is waited for, as a replay wants it; False drops the oldest.
    """

    def __init__(
        self,
        plugin: str,
        sink: Sink,
        context: SinkContext,
        *,
        wait: bool = False,
        capacity: int = CAPACITY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plugin, self._sink, self._context = plugin, sink, context
        self._clock = clock
        self._queue: Channel[_Waiting] = Channel(
            capacity, on_full="wait" if wait else "drop_oldest"
        )
        self._is_stuck = False
        self._lost = self._dropped = 0
        self._dropped_at: float | None = None
        self._fault: str | None = None
        self._opening: Exception | None = None
        self._opened = threading.Event()
        self._worker = Worker("sink", self._run, on_crash=self._crashed)

    @property
    def lost(self) -> int:
        """Messages that it did not deliver."""
        return self._lost + self._queue.dropped

    @property
    def fault(self) -> str | None:
        """Present error of the sink; None while it works."""
        if self._fault is not None:
            return self._fault
        if self._queue.dropped > self._dropped:
            self._dropped, self._dropped_at = self._queue.dropped, self._clock()
        if self._dropped_at is None or self._clock() - self._dropped_at >= TOLD_SECONDS:
            return None
        return f"{self._plugin} is too slow and loses messages; alerts go on"

    def open(self) -> None:
        """Start the thread; returns when the sink is open.

        Raises:
            EgomonError: the sink's own, or a PluginError around what it raised.
        """
        self._worker.start()
        if not self._opened.wait(OPEN_SECONDS):
            self._context.stop.set()
            raise PluginError(
                f"{self._plugin} did not open within {OPEN_SECONDS:g} s; is what it writes to "
                "there? leave it out with its --sink"
            )
        if isinstance(self._opening, EgomonError):
            raise self._opening
        if self._opening is not None:
            raise PluginError(
                f"{self._plugin} cannot be opened: {type(self._opening).__name__}: "
                f"{redact(str(self._opening))}; see its documentation, or leave its --sink out"
            ) from self._opening

    def put(self, event: StoredEvent, data: Data, attachments: Sequence[bytes]) -> None:
        """Hand over one message; never raises, and waits only where `wait` is set."""
        if not self._worker.alive:
            self._lost += 1
            return
        seconds = 0.0 if self._is_stuck else ROOM_SECONDS
        try:
            came = self._queue.put((event, data, tuple(attachments)), seconds)
        except ChannelClosed:
            came = False
        self._is_stuck = not came
        self._lost += not came

    def finish(self) -> None:
        """Nothing more comes: what waits may still be delivered."""
        self._queue.close()

    def join(self, seconds: float) -> None:
        """Wait for the last message for so long, then end."""
        if not self._worker.join(max(0.0, seconds)):
            self._context.stop.set()
            if not self._worker.join(ABANDON_SECONDS):
                logger.warning("%s did not end in time and was abandoned", self._plugin)

    def _run(self, worker: Worker) -> None:
        try:
            try:
                self._sink.open(self._context)
            except Exception as error:
                self._opening = error
                return
            finally:
                self._opened.set()
            self._deliver(worker)
        finally:
            self._sink.close()

    def _deliver(self, worker: Worker) -> None:
        while True:
            worker.beat()
            try:
                item = self._queue.get(POLL_SECONDS)
            except ChannelClosed:
                return
            if item is not None:
                self._send(*item)

    def _send(self, event: StoredEvent, data: Data, attachments: tuple[bytes, ...]) -> None:
        message = Message(event.topic, decode_envelope(event.envelope), data, attachments)
        try:
            self._sink.send(message)
        except Exception as error:
            self._lost += 1
            if self._fault is None:
                told = f"{type(error).__name__}: {redact(str(error))}"
                logger.error("%s refuses messages: %s; alerts go on", self._plugin, told)
            self._fault = f"{self._plugin} refuses messages; alerts go on, see the log"
            return
        if self._fault is not None:
            logger.warning("%s works again; %d messages were lost", self._plugin, self.lost)
        self._fault = None

    def _crashed(self, worker: Worker) -> None:
        self._fault = f"{self._plugin} crashed; alerts go on without it, see the log"
        logger.error("%s: %s", self._fault, worker.crash)


class Sinks:
    """All sinks of a run; a context manager that opens and ends them together.

    Args:
        references: what the user wrote, e.g. `file:events.jsonl`.
        context: what each is opened with, its stop event aside.
        wait: see `SinkWorker`.

    Raises:
        UsageError: a reference names no sink, or one that does not take it.
        PluginError: a plug-in cannot be used.
    """

    def __init__(self, references: Sequence[str], context: SinkContext, *, wait: bool) -> None:
        self._workers = [
            SinkWorker(
                str(find_sink(reference)),
                make_sink(reference),
                SinkContext(context.sources, context.boot),
                wait=wait,
            )
            for reference in references
        ]

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
