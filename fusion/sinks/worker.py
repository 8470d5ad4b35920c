"""A sink in a thread of its own: a slow or failing one costs its own messages, no alert."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from egomon.errors import DeliveryError, EgomonError, PluginError
from egomon.fusion.messages.envelope import decode_envelope
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.types import Data
from egomon.fusion.sinks.sink import Sink, SinkContext
from egomon.fusion.store.tables import StoredEvent
from egomon.stream.channel import Channel, ChannelClosed
from egomon.stream.redact import redact
from egomon.stream.worker import Worker

logger = logging.getLogger(__name__)

CAPACITY = 1024
OPEN_SECONDS = 10.0
POLL_SECONDS = 0.5
ABANDON_SECONDS = 0.5
ROOM_SECONDS = 10.0
"""Replay: longest wait for room in the queue of a sink that does not move."""
TOLD_SECONDS = 60.0
"""Dropped messages are shown in the status for so long."""
RETRY_SECONDS = (0.5, 30.0)
"""First and longest pause before a message is offered again."""

_Waiting = tuple[StoredEvent, Data, tuple[bytes, ...]]


class SinkWorker:
    """One sink behind its queue.

    Args:
        plugin: what to call it in messages, e.g. `the sink 'file' of package egomon`.
        sink: made, not yet open.
        context: what it is opened with.
        wait: a full queue is waited for, as a replay wants it; False drops the oldest.
        pause: waits so many seconds; True if the run is over.
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
        pause: Callable[[float], bool] | None = None,
    ) -> None:
        self._plugin, self._sink, self._context = plugin, sink, context
        self._kinds: frozenset[str] | None = getattr(sink, "kinds", None)
        self._clock = clock
        self._pause = pause or context.stop.wait
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
                f"{self._plugin} cannot be opened: {_told(self._opening)}; see its documentation, "
                "or leave its --sink out"
            ) from self._opening

    def put(self, event: StoredEvent, data: Data, attachments: Sequence[bytes]) -> None:
        """Hand over one message; never raises, and waits only where `wait` is set."""
        if self._kinds is not None and event.kind not in self._kinds:
            return
        if not self._worker.alive:
            self._lost += 1
            return
        seconds = 0.0 if self._is_stuck or self._fault is not None else ROOM_SECONDS
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
            if item is not None and not self._send(*item):
                waiting = len(self._queue) + 1
                self._lost += waiting
                logger.warning("%s did not take the last %d messages", self._plugin, waiting)
                return

    def _send(self, event: StoredEvent, data: Data, attachments: tuple[bytes, ...]) -> bool:
        """Deliver a message, however often that takes; False where the run was over before."""
        message = Message(event.topic, decode_envelope(event.envelope), data, attachments)
        seconds, longest = RETRY_SECONDS
        while True:
            try:
                self._sink.send(message)
            except DeliveryError as error:
                told = redact(str(error))
                self._note(f"{self._plugin} is away ({told}); messages wait, alerts go on", told)
            except Exception as error:
                self._lost += 1
                fault = f"{self._plugin} refuses messages; alerts go on, see the log"
                self._note(fault, _told(error))
                return True
            else:
                if self._fault is not None:
                    logger.warning("%s works again; %d messages were lost", self._plugin, self.lost)
                self._fault = None
                return True
            if self._pause(seconds):
                return False
            seconds = min(2 * seconds, longest)

    def _note(self, fault: str, told: str) -> None:
        if self._fault is None:
            logger.error("%s fails: %s; alerts go on", self._plugin, told)
        self._fault = fault

    def _crashed(self, worker: Worker) -> None:
        self._fault = f"{self._plugin} crashed; alerts go on without it, see the log"
        logger.error("%s: %s", self._fault, worker.crash)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {redact(str(error))}"
