"""A recorded session, published again as by a monitor: no camera, no model."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Self

from egomon.errors import DataError
from egomon.fusion.messages.envelope import Envelope, decode_data, decode_envelope
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.session_file import read_session
from egomon.fusion.messages.types import HeartbeatData
from egomon.fusion.store.events import EventStore
from egomon.fusion.store.reader import EventReader
from egomon.fusion.transport.control_server import StoreControl
from egomon.fusion.transport.server import EventServer
from egomon.monitor.storage import SQLITE_HEADER
from egomon.monitor.workers.request_worker import RequestWorker
from egomon.units import NS_PER_SECOND

# As often as a live monitor: readers call a publisher stale after three.
HEARTBEAT_SECONDS = 1.0
READER_SECONDS = 6.0
"""Longest wait for a first subscriber; one that is there already tries again every 5 s."""
# Heartbeats and requests go on between two messages that lie far apart.
_REST_SECONDS = 0.05


def open_session(path: Path) -> Iterator[Message]:
    """Read the messages of a recorded session, or of the last run in an event store.

    A store keeps neither pictures nor statistics, so its messages come without them.

    Args:
        path: JSON lines (`egomon.fusion.messages.session_file`), or SQLite.

    Raises:
        DataError: the file cannot be read, or a line is no message.
        StoreError: the store is damaged.
    """
    try:
        with path.open("rb") as file:
            is_store = file.read(len(SQLITE_HEADER)) == SQLITE_HEADER
    except OSError:
        is_store = False  # the reader of lines says why
    return _last_run(path) if is_store else read_session(path)


class Playback:
    """Publishes recorded messages through a bus of its own, with their own times.

    Messages get the numbers of the new boot, as a subscriber that knows the recorded boot would
    take them for old ones; alert ids, media times and wall times are the recorded ones.
    Recorded heartbeats are left out, the playback sends its own. Acknowledgements and feedback are
    answered and forgotten with the playback.

    Args:
        publish: endpoints of the event socket.
        control: endpoint of the request socket; None goes without.
        boot: name of this run of the publisher.
        host: this machine's name in `Envelope.source`.
        speed: factor of the recorded time; 0 = as fast as possible.
        clock: monotonic seconds.
        sleep: waits for so many seconds.
        bus_options: `curve`, `insecure_bind` and so on of `EventServer`.
    """

    def __init__(
        self,
        publish: Iterable[str],
        control: str | None,
        *,
        boot: str,
        host: str,
        speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        **bus_options: object,
    ) -> None:
        self._speed, self._clock, self._sleep = speed, clock, sleep
        self._wall_ns = time.time_ns()
        self._sources: dict[str, None] = {}
        self._next_heartbeat = clock()
        self._store = EventStore(None)
        self.bus = EventServer(
            [*publish],
            control,
            host=host,
            boot=boot,
            wall_clock_ns=lambda: self._wall_ns,
            **bus_options,  # type: ignore[arg-type]
        )
        self._store.begin(boot=boot, sources=(), started_wall_ns=self._wall_ns)
        handler = StoreControl(
            self._store,
            self.bus.snapshot,
            reset_context=lambda name: name in self._sources,
            stats=lambda: {"sources": [*self._sources], "published": self.bus.snapshot().seq},
        )
        self._requests = RequestWorker(self.bus, handler)

    def __enter__(self) -> Self:
        self._requests.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._requests.__exit__()
        self.bus.close()
        self._store.close()

    def run(self, messages: Iterable[Message]) -> int:
        """Publish them all, from the moment when somebody has subscribed, or 6 s after the start.

        Returns:
            Number of messages published.
        """
        messages = iter(messages)
        # Opened before anybody is waited for: what is no session is told at once.
        messages = itertools.chain([*itertools.islice(messages, 1)], messages)
        began = self._clock()
        while not self.bus.subscriptions and self._clock() < began + READER_SECONDS:
            self._rest(_REST_SECONDS)
        began, first_ns, count = self._clock(), 0, 0
        for message in messages:
            if isinstance(message.data, HeartbeatData):
                continue
            wall_ns = _wall_ns(message.envelope)
            first_ns = first_ns or wall_ns
            self._rest_until(began, (wall_ns - first_ns) / NS_PER_SECOND)
            self._wall_ns = wall_ns
            self._publish(message)
            count += 1
        return count

    def _publish(self, message: Message) -> None:
        source = message.topic.split("/")[2]
        self._sources[source] = None
        prepared = self.bus.prepare(source, message.data)
        self._store.append((prepared.event,))
        self.bus.send(prepared, message.attachments)
        self._serve()

    def _rest_until(self, began: float, recorded_seconds: float) -> None:
        if self._speed:
            moment = began + recorded_seconds / self._speed
            while (rest := moment - self._clock()) > 0:
                self._rest(min(rest, _REST_SECONDS))

    def _rest(self, seconds: float) -> None:
        self._sleep(seconds)
        self._serve()

    def _serve(self) -> None:
        self.bus.serve()
        if self._clock() >= self._next_heartbeat:
            self._next_heartbeat = self._clock() + HEARTBEAT_SECONDS
            for source in self._sources:
                self.bus.heartbeat(source)


def _wall_ns(envelope: Envelope) -> int:
    try:
        moment = datetime.fromisoformat(envelope.time)
        return int(moment.timestamp() * 1000) * (NS_PER_SECOND // 1000)
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"message {envelope.id} has the time {envelope.time!r}, which is no ISO 8601 date; "
            "record the session again"
        ) from error


def _last_run(path: Path) -> Iterator[Message]:
    with EventReader(path) as store:
        for event in store.last_run():
            envelope = decode_envelope(event.envelope)
            yield Message(event.topic, envelope, decode_data(event.kind, envelope.data), ())
