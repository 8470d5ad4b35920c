"""Receive the alerts of many monitors from an MQTT broker: each message once, losses reported.

```python
with egomon.MqttSubscriber("mqtt://broker") as alerts:
    for event in alerts:
        if isinstance(event, Message):
            print(event.site, event.source, event.data.explanation)
```

Needs paho-mqtt and msgspec only; torch is never loaded.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from egomon.errors import ConfigError, UsageError, WireError
from egomon.fusion.messages.envelope import decode_data, decode_envelope, topic
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.types import DATA_TYPES
from egomon.fusion.sinks.mqtt_address import KEEPALIVE_SECONDS, mqtt_address
from egomon.fusion.transport.mqtt_numbers import TopicNumbers
from egomon.fusion.transport.subscriber_events import Gap, Stale

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage

MOST_UNREAD = 256
"""Messages that the broker sends ahead of their acknowledgement."""
SESSION_SECONDS = 24 * 3600
"""So long the broker keeps what a subscriber with a name has missed."""
# The client's own thread wakes this one; the rest is for Ctrl-C.
POLL_SECONDS = 0.25
STALE_SECONDS = 3.0
"""A broker that is away for so long is told."""
LEVELS = 4
"""PREFIX / SITE / SOURCE / KIND, the prefix counted as one."""


@dataclass(frozen=True, slots=True)
class SiteMessage(Message):
    """A message, and where its monitor stands."""

    site: str = ""


@dataclass(frozen=True, slots=True)
class Presence:
    """What else a monitor's sink says: `availability` or `monitor`."""

    site: str
    source: str
    kind: str
    payload: bytes


MqttEvent = SiteMessage | Presence | Gap | Stale


class MqttSubscriber:
    """Iterate over it, or call `receive`; one thread uses it.

    A message is acknowledged when it is handed out: what a crash of the caller leaves comes again
    to a subscriber of the same name. Redeliveries are told by the numbers of a message and left
    out.

    Args:
        reference: `mqtt(s)://[USER[:PASSWORD]@]HOST[:PORT]`, credentials also from the variables
            EGOMON_MQTT_USERNAME and EGOMON_MQTT_PASSWORD or from files, see the sink.
        topics: filters, e.g. `egomon/#` or `egomon/hall-2/#`.
        kinds: of `alert`, `segment`, `status`, `stats`, `gap`.
        source: only this source; None follows all.
        name: the broker keeps what a subscriber of this name has missed, for a day; empty = none.
        presence: also give `Presence`.
        clock: monotonic seconds.

    Raises:
        UsageError: no address, or a filter that MQTT does not know.
        ConfigError: credentials or certificates cannot be used.
        WireError: an unknown kind.
        MissingExtraError: without paho-mqtt.
    """

    def __init__(
        self,
        reference: str,
        *,
        topics: Sequence[str] = ("egomon/#",),
        kinds: Sequence[str] = ("alert",),
        source: str | None = None,
        name: str = "",
        presence: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if unknown := set(kinds) - set(DATA_TYPES):
            raise WireError(f"unknown kind {min(unknown)!r}; known: {', '.join(DATA_TYPES)}")
        address = mqtt_address(reference, label="the address")
        self.shown = address.shown
        self._topics, self._kinds, self._source = tuple(topics), frozenset(kinds), source
        self._presence = presence
        self._numbers = TopicNumbers()
        self._inbox: queue.SimpleQueue[MQTTMessage] = queue.SimpleQueue()
        self._ready: list[MqttEvent] = []
        self._refused: str | None = None
        self._clock = clock
        self._away_since: float | None = clock()
        self._is_stale = self._closed = False
        self.malformed = 0
        """Messages that were not understood and left out."""
        self._client = self._connect(address, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[MqttEvent]:
        while not self._closed:
            event = self.receive()
            if event is not None:
                yield event

    @property
    def connected(self) -> bool:
        """True while the broker is there."""
        return self._away_since is None

    def receive(self, timeout_seconds: float | None = None) -> MqttEvent | None:
        """The next event, or None when the time is over; without a limit it waits for ever.

        Raises:
            ConfigError: the broker refuses the user or a topic.
        """
        deadline = None if timeout_seconds is None else self._clock() + timeout_seconds
        while not self._closed:
            if self._ready:
                return self._ready.pop(0)
            if self._refused is not None:
                raise ConfigError(self._refused)
            left = POLL_SECONDS if deadline is None else deadline - self._clock()
            try:
                self._take(self._inbox.get(timeout=max(0.0, min(left, POLL_SECONDS))))
            except queue.Empty:
                if self._note_silence():
                    continue
                if deadline is not None and self._clock() >= deadline:
                    return None
        return None

    def close(self) -> None:
        """End the connection; idempotent."""
        if not self._closed:
            self._closed = True
            self._client.disconnect()
            self._client.loop_stop()

    def _connect(self, address: Any, name: str) -> Client:
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = MOST_UNREAD
        properties.SessionExpiryInterval = SESSION_SECONDS if name else 0
        try:
            client: Client = address.new_client(name, manual_ack=True, again=True)
        except OSError as error:
            raise ConfigError(f"{self.shown}: the certificates cannot be read: {error}") from error
        client.reconnect_delay_set(1, 8)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscribed
        client.on_message = lambda c, u, message: self._inbox.put(message)
        try:
            client.connect_async(
                address.uri.host,
                address.port,
                KEEPALIVE_SECONDS,
                clean_start=not name,
                properties=properties,
            )
            for each in self._topics:
                if not _is_filter(each):
                    raise UsageError(f"{each!r} is no filter of topics; write e.g. egomon/#")
        except ValueError as error:
            raise UsageError(f"{self.shown}: {error}") from error
        client.loop_start()
        return client

    def _connected(self, client: Client, user: Any, flags: Any, code: Any, more: Any) -> None:
        if code.is_failure:
            self._refused = f"{self.shown} refuses the connection: {code}; give user and password"
            return
        self._away_since = None
        client.subscribe([(each, 1) for each in self._topics])

    def _disconnected(self, client: Client, user: Any, flags: Any, code: Any, more: Any) -> None:
        self._away_since = self._clock()

    def _subscribed(self, client: Client, user: Any, number: Any, codes: Any, more: Any) -> None:
        for code in codes:
            if code.is_failure:
                self._refused = f"{self.shown} refuses the topics: {code}; ask for others"

    def _note_silence(self) -> bool:
        """Tell once that the broker is away."""
        since = self._away_since
        if since is None:
            self._is_stale = False
            return False
        away = self._clock() - since
        if self._is_stale or away < STALE_SECONDS:
            return False
        self._is_stale = True
        self._ready.append(Stale(away, broker=self.shown))
        return True

    def _take(self, message: MQTTMessage) -> None:
        try:
            self._ready += self._events(message)
        except (WireError, UnicodeDecodeError):
            self.malformed += 1
        self._client.ack(message.mid, message.qos)

    def _events(self, message: MQTTMessage) -> list[MqttEvent]:
        levels = message.topic.rsplit("/", LEVELS - 1)
        if len(levels) < LEVELS:
            return []
        _, site, source, kind = levels
        if self._source not in (None, source):
            return []
        if kind in ("availability", "monitor"):
            found = Presence(site, source, kind, bytes(message.payload))
            return [found] if self._presence else []
        if kind not in self._kinds:
            return []
        envelope = decode_envelope(bytes(message.payload))
        data = decode_data(kind, envelope.data)
        lost = self._numbers.meet(message.topic, envelope.boot, envelope.tseq)
        if lost is None:
            return []
        name = topic(source, kind)  # type: ignore[arg-type]
        gaps = [Gap(lost, name)] if lost and kind != "stats" else []
        return [*gaps, SiteMessage(name, envelope, data, site=site)]


def _is_filter(text: str) -> bool:
    levels = text.split("/")
    return (
        text.isprintable()
        and all(level in ("+", "#") or not set(level) & set("+#") for level in levels)
        and "#" not in levels[:-1]
        and text != ""
    )
