"""A sink in a thread of its own: a slow or failing one costs its own messages, no alert."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from egomon.errors import DeliveryError, EgomonError, PluginError, StoreError, WireError
from egomon.fusion.messages.envelope import decode_data, decode_envelope
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.types import Data
from egomon.fusion.sinks.backlog import Backlog
from egomon.fusion.sinks.sink import Sink, SinkContext
from egomon.fusion.store.tables import StoredEvent
from egomon.stream.channel import Channel, ChannelClosed
from egomon.stream.redact import redact
from egomon.stream.worker import Worker

logger = logging.getLogger(__name__)

# Minutes of messages: a sink that is started again loses none, one that is gone costs no memory.
CAPACITY = 1024
# Far brokers answer within it; a wrong address would be waited for without end.
OPEN_SECONDS = 10.0
POLL_SECONDS = 0.5
# After `context.stop`: who looks at it ends within this, who does not never will.
ABANDON_SECONDS = 0.5
SILENT_SECONDS = 0.5
"""A longer wait for a sink at the end of a run is told."""
ROOM_SECONDS = 10.0
"""Replay: longest wait for room in the queue of a sink that does not move."""
TOLD_SECONDS = 60.0
"""Dropped messages are shown in the status for so long."""
RETRY_SECONDS = (0.5, 30.0)
"""First and longest pause before a message is offered again."""

# Number among all messages that were handed over, and the message.
_Waiting = tuple[int, StoredEvent, Data, tuple[bytes, ...]]


class SinkWorker:
    """One sink behind its queue.

    Args:
        plugin: what to call it in messages, e.g. `the sink 'file' of package egomon`.
        sink: made, not yet open.
        context: what it is opened with.
        wait: a full queue is waited for, as a replay wants it; False drops the oldest.
        backlog: where messages are that the queue cannot hold; None = they are lost.
        pause: waits so many seconds; True if the run is over.
    """

    def __init__(
        self,
        plugin: str,
        sink: Sink,
        context: SinkContext,
        *,
        backlog: Backlog | None = None,
        wait: bool = False,
        capacity: int = CAPACITY,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], bool] | None = None,
    ) -> None:
        self._plugin, self._sink, self._context = plugin, sink, context
        self._kinds: frozenset[str] | None = getattr(sink, "kinds", None)
        self._idle: Callable[[], None] = getattr(sink, "idle", lambda: None)
        self._backlog = backlog
        self._handed_over = self._delivered = 0
        self._clock = clock
        self._pause = pause or context.stop.wait
        self._queue: Channel[_Waiting] = Channel(
            capacity, on_full="wait" if wait else "drop_oldest"
        )
        self._is_stuck = self._is_sending = self._is_rest_told = False
        self._lost = self._dropped = 0
        self._dropped_at: float | None = None
        self._fault: str | None = None
        self._opening: Exception | None = None
        self._opened = threading.Event()
        self._worker = Worker("sink", self._run, on_crash=self._crashed)

    @property
    def lost(self) -> int:
        """Messages that it did not deliver."""
        return self._lost + (0 if self._backlog is not None else self._queue.dropped)

    @property
    def fault(self) -> str | None:
        """Present error of the sink; None while it works."""
        if self._fault is not None or self._backlog is not None:
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
            came = self._queue.put((self._handed_over, event, data, tuple(attachments)), seconds)
        except ChannelClosed:
            came = False
        self._handed_over += 1
        self._is_stuck = not came
        self._lost += not came and self._backlog is None

    def finish(self) -> None:
        """Nothing more comes: what waits may still be delivered."""
        self._queue.close()

    def join(self, seconds: float) -> None:
        """Wait for the last message for so long, then end."""
        silent, seconds = min(SILENT_SECONDS, seconds), seconds - SILENT_SECONDS
        if not self._worker.join(max(0.0, silent)) and seconds > 0:
            logger.warning(
                "waiting up to %.0f s more for the last messages of %s", seconds, self._plugin
            )
        if not self._worker.join(max(0.0, seconds)):
            self._context.stop.set()
            if not self._worker.join(ABANDON_SECONDS):
                logger.warning("%s did not end in time and was abandoned", self._plugin)
                self._tell_waiting()

    def _run(self, worker: Worker) -> None:
        try:
            try:
                if self._backlog is not None:
                    self._backlog.open()
                self._sink.open(self._context)
            except Exception as error:
                self._opening = error
                return
            finally:
                self._opened.set()
            self._deliver(worker)
        finally:
            self._sink.close()
            if self._backlog is not None:
                self._backlog.close()

    def _deliver(self, worker: Worker) -> None:
        """Everything in order: what former runs left, then this run, holes from the backlog."""
        if self._backlog is not None and not self._send_all(self._backlog.former())[1]:
            return self._tell_waiting()
        while True:
            worker.beat()
            self._let_idle()
            try:
                item = self._queue.get(POLL_SECONDS)
            except ChannelClosed:
                break
            if item is None:
                continue
            number, event, data, attachments = item
            if not self._recover(number - self._delivered, event.seq):
                return self._tell_waiting()
            self._delivered = number
            message = Message(event.topic, decode_envelope(event.envelope), data, attachments)
            if not self._send(message):
                return self._tell_waiting()
            self._delivered += 1
        if not self._recover(self._handed_over - self._delivered, None):
            self._tell_waiting()

    def _let_idle(self) -> None:
        try:
            self._idle()
        except Exception as error:
            self._note(f"{self._plugin} fails; alerts go on, see the log", _told(error))

    def _recover(self, missing: int, before_seq: int | None) -> bool:
        """Deliver from the backlog what the queue had no room for; False where the run is over."""
        if self._backlog is None or not missing:
            return True
        found, done = self._send_all(self._backlog.missed(before_seq))
        if done:
            self._lost += max(0, missing - found)  # such as statistics, which no store keeps
        return done

    def _send_all(self, events: Iterator[StoredEvent]) -> tuple[int, bool]:
        """How many were delivered, and whether the run goes on."""
        found = 0
        try:
            for event in events:
                if self._kinds is None or event.kind in self._kinds:
                    envelope = decode_envelope(event.envelope)
                    data = decode_data(event.kind, envelope.data)
                    if not self._send(Message(event.topic, envelope, data, recovered=True)):
                        return found, False
                    found += 1
        except (StoreError, WireError) as error:
            logger.error("%s: %s", self._plugin, error)
        return found, True

    def _tell_waiting(self) -> None:
        """Count and tell what is left, once; nothing is handed over any more."""
        if self._is_rest_told:
            return
        self._is_rest_told = True
        kept = self._backlog is not None and self._backlog.is_kept
        if self._backlog is not None:
            waiting = self._handed_over - self._delivered
        else:  # what the queue had no room for is counted already
            waiting = len(self._queue) + self._is_sending
        self._lost += 0 if kept else waiting
        logger.warning(
            "%s did not take the last %d messages%s",
            *(self._plugin, waiting, "; the next run with this store sends them" if kept else ""),
        )

    def _send(self, message: Message) -> bool:
        """Deliver a message, however often that takes; False where the run was over before."""
        seconds, longest = RETRY_SECONDS
        self._is_sending = True
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
                break
            else:
                if self._fault is not None:
                    logger.warning("%s works again; %d messages were lost", self._plugin, self.lost)
                self._fault = None
                break
            if self._pause(seconds):
                return False
            seconds = min(2 * seconds, longest)
        self._is_sending = False
        if self._backlog is not None:
            self._backlog.delivered(message.envelope.boot, message.envelope.seq)
        return True

    def _note(self, fault: str, told: str) -> None:
        if self._fault is None:
            logger.error("%s fails: %s; alerts go on", self._plugin, told)
        self._fault = fault

    def _crashed(self, worker: Worker) -> None:
        self._fault = f"{self._plugin} crashed; alerts go on without it, see the log"
        logger.error("%s: %s", self._fault, worker.crash)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {redact(str(error))}"
