"""Numbers the messages of one boot, and keeps the snapshot for late subscribers."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from egomon.errors import WireError
from egomon.fusion.messages.envelope import (
    MAJOR,
    SOURCE_NAME,
    Envelope,
    encode,
    isoformat,
    kind_of,
    topic,
)
from egomon.fusion.messages.types import AlertData, Data, HeartbeatData, StatusData
from egomon.fusion.store.tables import StoredEvent


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State at one moment: everything up to `seq` is contained in it."""

    boot: str
    seq: int
    tseq: dict[str, int]
    """Last number of each topic."""
    events: list[StoredEvent]
    """Last status of each source and last revision of each open alert, in order of `seq`."""


class Sequencer:
    """Numbers messages when they are prepared; remembers those that were sent.

    `snapshot` is for any thread, all else for the one that sends.
    """

    def __init__(self, boot: str, host: str, wall_clock_ns: Callable[[], int]) -> None:
        self.boot = boot
        self.sent_seq = 0
        self.sent_tseq: dict[str, int] = {}
        self._host = host
        self._wall_clock_ns = wall_clock_ns
        self._seq = 0
        self._tseq: dict[str, int] = {}
        self._lock = threading.Lock()
        self._statuses: dict[str, StoredEvent] = {}
        self._open: dict[str, StoredEvent] = {}

    def number(self, source: str, data: Data) -> StoredEvent:
        """Wrap data in the next envelope.

        Raises:
            WireError: the source's name cannot be a topic level.
        """
        if not re.fullmatch(SOURCE_NAME, source):
            raise WireError(
                f"source name {source!r} cannot be a topic: use 1 to 32 of a-z, 0-9, _ and -"
            )
        kind = kind_of(data)
        name = topic(source, kind)
        self._seq += 1
        self._tseq[name] = self._tseq.get(name, 0) + 1
        wall_ns = self._wall_clock_ns()
        envelope = Envelope(
            id=f"{self.boot}-{self._seq}",
            source=f"egomon://{self._host}/{source}",
            type=f"egomon.{kind}" + (f".{data.phase}" if isinstance(data, AlertData) else ""),
            time=isoformat(wall_ns),
            dataschema=f"egomon/{kind}/{MAJOR}",
            boot=self.boot,
            seq=self._seq,
            tseq=self._tseq[name],
            data=msgspec.Raw(encode(data)),
        )
        return StoredEvent(
            self.boot, self._seq, self._tseq[name], name, kind, wall_ns, encode(envelope)
        )

    def heartbeat(self, source: str) -> HeartbeatData:
        """Return the last number sent in each topic of a source."""
        prefix = topic(source, "heartbeat").removesuffix("heartbeat/")
        last = {name: n for name, n in self.sent_tseq.items() if name.startswith(prefix)}
        last.pop(topic(source, "heartbeat"), None)
        return HeartbeatData(last_seq=self.sent_seq, last_tseq=last)

    def sent(self, event: StoredEvent, data: Data) -> None:
        """Note that an event was handed to the socket."""
        with self._lock:
            self.sent_seq = event.seq
            self.sent_tseq[event.topic] = event.tseq
            if isinstance(data, StatusData):
                self._statuses[event.topic] = event
            elif isinstance(data, AlertData):
                self._open.pop(data.alert_id, None)
                if data.phase in ("new", "update"):
                    self._open[data.alert_id] = event

    def snapshot(self, prefix: str) -> Snapshot:
        """Return the state that a new subscriber of topics under `prefix` needs."""
        with self._lock:
            seq, numbers = self.sent_seq, dict(self.sent_tseq)
            state = [*self._statuses.values(), *self._open.values()]
        events = [event for event in state if event.topic.startswith(prefix)]
        tseq = {name: n for name, n in numbers.items() if name.startswith(prefix)}
        return Snapshot(self.boot, seq, tseq, sorted(events, key=lambda e: e.seq))
