"""State machine of a subscriber, without sockets, clocks or threads.

Its methods are generators: they yield events for the user and `Ask`s for the monitor, and get the
answer sent in. The blocking and the asyncio subscriber run the same generators.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from egomon.errors import WireError
from egomon.fusion.messages.envelope import (
    TOPIC_ROOT,
    Envelope,
    decode_data,
    decode_envelope,
    topic,
)
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.types import DATA_TYPES, AlertData, HeartbeatData
from egomon.fusion.transport.subscriber_events import Event, Gap, PublisherRestarted

# An alert is revised within minutes of its start; a subscriber may run for months.
_REMEMBERED_ALERTS = 4096


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to the monitor; the answer, or None, is sent into the generator."""

    verb: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    alive: bool = False
    """The monitor was heard just now, so it is worth asking even if it was silent before."""


EventGenerator: TypeAlias = Generator[Event | Ask, dict[str, Any] | None, None]


class SubscriberState:
    """Numbers seen so far, and how holes in them are filled.

    Args:
        source: only this source; None follows all.
        kinds: only these kinds of message.
        snapshot: begin with the last status and the open alerts.
        control: True if the monitor has a control endpoint.

    Raises:
        WireError: an unknown kind.
    """

    def __init__(
        self, *, source: str | None, kinds: Iterable[str], snapshot: bool, control: bool
    ) -> None:
        self.boot: str | None = None
        self.malformed = 0
        """Messages that were not understood and left out."""
        self._source = source
        self._kinds = frozenset(kinds)
        if unknown := self._kinds - set(DATA_TYPES):
            raise WireError(f"unknown kind {min(unknown)!r}; known: {', '.join(DATA_TYPES)}")
        self._snapshot_due = snapshot and control
        self._control = control
        self._from_start = False
        self._tseq: dict[str, int] = {}
        self._seq: dict[str, int] = {}
        self._complete: dict[str, int] = {}
        self._floor = 0
        self._past: deque[str] = deque(maxlen=64)
        self._answered = False
        self._revs: OrderedDict[str, int] = OrderedDict()

    @property
    def prefixes(self) -> list[str]:
        """Topic prefixes to subscribe; heartbeats are always among them."""
        if self._source is None:
            return [f"{TOPIC_ROOT}/"]
        return [topic(self._source, kind) for kind in sorted({*self._kinds, "heartbeat"})]  # type: ignore[arg-type]

    def start(self, *, alive: bool = False) -> EventGenerator:
        """Ask for the snapshot and make it the base that later messages build on."""
        if not self._snapshot_due:
            return
        reply = yield Ask("snapshot", {"prefix": self._prefix}, alive)
        if reply is None:
            return
        self._snapshot_due = False
        self.boot, self._floor = reply["boot"], reply["seq"]
        self._tseq, self._seq, self._from_start = dict(reply["tseq"]), {}, True
        for message in self._unpack(reply):
            if self._is_wanted(message.topic):
                yield from self._fresh(message)

    def message(self, frames: list[bytes]) -> EventGenerator:
        """Take one message from the event socket."""
        try:
            name, envelope = frames[0].decode(), decode_envelope(frames[1])
            if not (self._is_wanted(name) or name.endswith("/heartbeat/")):
                return
            data = decode_data(name.split("/")[3], envelope.data)
        except (WireError, UnicodeDecodeError, IndexError):
            self.malformed += 1
            return
        if envelope.boot in self._past:  # was still on its way when the next boot was met
            return
        yield from self._meet(envelope)
        last = self._last(name)
        if last is not None and envelope.tseq <= last:
            return
        if last is not None and envelope.tseq > last + 1 and not isinstance(data, HeartbeatData):
            yield from self._fill(name, last, envelope.tseq)
        self._tseq[name], self._seq[name] = envelope.tseq, envelope.seq
        if isinstance(data, HeartbeatData):
            yield from self._check(name, data)
        if self._is_wanted(name):
            yield from self._fresh(Message(name, envelope, data, tuple(frames[2:])))

    @property
    def _prefix(self) -> str:
        return f"{TOPIC_ROOT}/" if self._source is None else f"{TOPIC_ROOT}/{self._source}/"

    def _is_wanted(self, name: str) -> bool:
        parts = name.split("/")
        return (
            len(parts) == 5
            and name.startswith(self._prefix)
            and parts[3] in self._kinds
            and parts[4] == ""
        )

    def _last(self, name: str) -> int | None:
        """Last number of a topic; None where its beginning was not seen."""
        return self._tseq.get(name, 0 if self._from_start else None)

    def _meet(self, envelope: Envelope) -> EventGenerator:
        """Handle the first contact, or a new boot."""
        if self.boot is None:
            yield from self.start(alive=True)
            self._snapshot_due = False
            if self.boot is None:
                self.boot, self._floor = envelope.boot, envelope.seq - 1
        if envelope.boot != self.boot:
            yield from self._restart(envelope.boot)

    def _check(self, name: str, heartbeat: HeartbeatData) -> EventGenerator:
        """Compare with a heartbeat, which shows losses before silence."""
        for other, newest in heartbeat.last_tseq.items():
            if not self._is_wanted(other):
                continue
            last = self._last(other)
            if last is not None and newest > last:
                yield from self._fill(other, last, newest + 1)
            self._tseq[other] = max(newest, last or 0)
        self._complete[name.split("/")[2]] = heartbeat.last_seq

    def _fill(self, name: str, last: int, upto: int) -> EventGenerator:
        """Recover the numbers between `last` and `upto`, both exclusive; report what is lost."""
        known = max(self._floor, self._complete.get(name.split("/")[2], 0), self._seq.get(name, 0))
        expected = last + 1
        assert self.boot is not None
        for message in (yield from self._since(self.boot, known, name, upto)):
            tseq = message.envelope.tseq
            if message.envelope.boot != self.boot or not expected <= tseq < upto:
                continue
            if tseq > expected:
                yield Gap(tseq - expected, name)
            expected = tseq + 1
            yield from self._fresh(message)
        if expected < upto:
            yield Gap(upto - expected, name)

    def _restart(self, boot: str) -> EventGenerator:
        """Read the end of the earlier boot from the store, then count the new one from 1."""
        assert self.boot is not None
        known = min(self._complete.values(), default=self._floor)
        tail = yield from self._since(self.boot, max(known, self._floor), self._prefix, None)
        for message in tail:
            if message.envelope.boot != self.boot or not self._is_wanted(message.topic):
                continue
            last = self._tseq.get(message.topic, 0)
            if message.envelope.tseq > last:
                self._tseq[message.topic] = message.envelope.tseq
                yield from self._fresh(message)
        self._past.append(self.boot)
        self.boot, self._floor, self._from_start = boot, 0, True
        self._tseq, self._seq, self._complete = {}, {}, {}
        yield PublisherRestarted(boot, complete=self._answered)

    def _since(
        self, boot: str, seq: int, prefix: str, upto: int | None
    ) -> Generator[Ask, dict[str, Any] | None, list[Message]]:
        """Stored messages after `(boot, seq)`, page by page, to `tseq` `upto` or the boot's end."""
        found: list[Message] = []
        self._answered = False
        while self._control:
            reply = yield Ask("since", {"boot": boot, "seq": seq, "prefix": prefix}, upto is None)
            if reply is None:
                break
            page = self._unpack(reply)
            found += page
            self._answered = True
            if not page or not reply["more"]:
                break
            end = page[-1].envelope
            if end.boot != boot or (upto is not None and end.tseq >= upto):
                break
            seq = end.seq
        return found

    def _unpack(self, reply: dict[str, Any]) -> list[Message]:
        messages = []
        for event in reply["events"]:
            try:
                body = msgspec.json.encode(event["envelope"])
                envelope = decode_envelope(body)
                data = decode_data(event["topic"].split("/")[3], envelope.data)
            except (WireError, IndexError):
                self.malformed += 1
                continue
            messages.append(Message(event["topic"], envelope, data, recovered=True))
        return messages

    def _fresh(self, message: Message) -> EventGenerator:
        """Pass a message on, unless it is a revision of an alert that was passed on before."""
        if isinstance(message.data, AlertData):
            alert_id, rev = message.data.alert_id, message.data.rev
            if self._revs.get(alert_id, 0) >= rev:
                return
            self._revs[alert_id] = rev
            self._revs.move_to_end(alert_id)
            while len(self._revs) > _REMEMBERED_ALERTS:
                self._revs.popitem(last=False)
        yield message
