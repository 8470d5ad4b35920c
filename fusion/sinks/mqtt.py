"""The sinks `mqtt://` and `mqtts://`: MQTT 5, QoS 1, with discovery for Home Assistant."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from egomon.errors import DeliveryError
from egomon.fusion.messages.envelope import encode
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.types import StatsData
from egomon.fusion.sinks.home_assistant import discovery
from egomon.fusion.sinks.mqtt_address import KEEPALIVE_SECONDS, TIMEOUT_SECONDS, mqtt_address
from egomon.fusion.sinks.picture import picture_of
from egomon.fusion.sinks.sink import SinkContext

if TYPE_CHECKING:
    from paho.mqtt.client import Client
    from paho.mqtt.properties import Properties

STATS_SECONDS = 10.0
"""Least time between two statistics of a source."""
AGAIN_SECONDS, MOST_AGAIN = 5.0, 16
"""A broker that hung up is told again what it acknowledged so shortly before, so many at most."""
RETAINED = ("alert", "segment", "status", "stats")
"""Kinds whose last message is the present state."""
NO_DISCOVERY = "none"


class _Published(NamedTuple):
    at: float
    topic: str
    payload: bytes
    number: str
    retain: bool


class MqttSink:
    """Publishes each envelope to `PREFIX/SITE/SOURCE/KIND`; the path of the address is PREFIX.

    The picture of an alert goes to `PREFIX/SITE/SOURCE/picture` before it. Each message has the
    user property `id`, `BOOT:SEQ`. It is delivered when the broker has acknowledged it; what was
    not is published again after a new connection.

    Raises:
        UsageError: the reference is no address of a broker, or has an unknown option.
        ConfigError: user name or password cannot be used.
        MissingExtraError: without paho-mqtt.
    """

    def __init__(self, reference: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._address = mqtt_address(reference, ("kinds", "discovery"))
        uri = self._address.uri
        self.kinds = uri.kinds(("alert", "segment", "status", "gap", "stats"))
        self._prefix = self._address.prefix
        self._discovery = uri.options.get("discovery", "homeassistant").strip("/")
        self._client: Client | None = None
        self._answers: queue.SimpleQueue[tuple[int, str | None]] = queue.SimpleQueue()
        self._context = SinkContext()
        self._clock = clock
        self._next_stats: dict[str, float] = {}
        self._acknowledged: deque[_Published] = deque(maxlen=MOST_AGAIN)
        self._hung_up_at: float | None = None

    def open(self, context: SinkContext) -> None:
        """See `Sink`; connects with the first message."""
        self._context = context

    def send(self, message: Message) -> None:
        """See `Sink`."""
        if isinstance(message.data, StatsData) and not self._is_due(message.source):
            return
        if self._client is None:
            self._connect()
        envelope, topic = message.envelope, self._topic(message.source, message.kind)
        number = f"{envelope.boot}:{envelope.seq}"
        picture = picture_of(message)
        if picture is not None:
            self._publish(self._topic(message.source, "picture"), picture, number, retain=True)
        retain = message.kind in RETAINED
        self._publish(topic, encode(envelope), number, retain=retain)
        self._acknowledged.append(
            _Published(self._clock(), topic, encode(envelope), number, retain)
        )

    def close(self) -> None:
        """See `Sink`."""
        if self._client is None:
            return
        try:
            self._publish(self._availability, b"offline", retain=True)
        except DeliveryError:
            return
        self._drop()

    @property
    def _availability(self) -> str:
        """One topic for all sources of this run: a connection has one last will."""
        return self._first("availability")

    def _first(self, kind: str) -> str:
        return self._topic(next(iter(self._context.sources), "egomon"), kind)

    def _topic(self, source: str, kind: str) -> str:
        return f"{self._prefix}/{self._context.site}/{source}/{kind}"

    def _connect(self) -> None:
        """Connect and say who is there.

        Raises:
            DeliveryError: the broker is away or refuses.
        """
        answers: queue.SimpleQueue[tuple[int, str | None]] = queue.SimpleQueue()
        try:
            client = self._address.new_client()
        except OSError as error:
            raise DeliveryError(f"{self._address.shown}: {error}") from error
        client.will_set(self._availability, b"offline", qos=1, retain=True)

        def told(number: int, code: Any) -> None:
            answers.put((number, str(code) if code.is_failure else None))

        client.on_connect = lambda c, u, flags, code, p: told(0, code)
        client.on_publish = lambda c, u, number, code, p: told(number, code)
        client.on_disconnect = self._hung_up(answers)
        self._client, self._answers = client, answers
        try:
            address = self._address
            client.connect(address.uri.host, address.port, KEEPALIVE_SECONDS, clean_start=True)
        except (OSError, ValueError) as error:
            self._client = None
            raise DeliveryError(f"{self._address.shown} cannot be reached: {error}") from error
        client.loop_start()
        self._await(0, "refuses the connection")
        if self._discovery != NO_DISCOVERY:
            for source in self._context.sources:
                name, payload = discovery(
                    self._context.site, source, self._topic(source, ""), self._availability
                )
                self._publish(f"{self._discovery}/device/{name}/config", payload, retain=True)
        self._publish(self._availability, b"online", retain=True)
        self._publish(self._first("monitor"), self._monitor(), retain=True)

        self._publish_again()

    def _hung_up(self, answers: queue.SimpleQueue[tuple[int, str | None]]) -> Callable[..., None]:
        def on_disconnect(client: Any, user: Any, flags: Any, code: Any, more: Any) -> None:
            if code.is_failure:
                self._hung_up_at = self._clock()
            answers.put((-1, "it hung up"))

        return on_disconnect

    def _publish_again(self) -> None:
        """Publish what a broker may have forgotten that was killed right after it acknowledged."""
        if self._hung_up_at is not None:
            for each in list(self._acknowledged):
                if each.at > self._hung_up_at - AGAIN_SECONDS:
                    self._publish(each.topic, each.payload, each.number, retain=each.retain)
            self._hung_up_at = None

    def _is_due(self, source: str) -> bool:
        """Statistics come each second; one of ten tells that the monitor is alive."""
        now = self._clock()
        if now < self._next_stats.get(source, now):
            return False
        self._next_stats[source] = now + STATS_SECONDS
        return True

    def _monitor(self) -> bytes:
        """Who publishes here, for `egomon fleet`."""
        context = self._context
        return msgspec.json.encode(
            {
                "version": version("egomon"),
                "bundle": context.bundle,
                "boot": context.boot,
                "sources": context.sources,
            }
        )

    def _publish(
        self, topic: str, payload: bytes, number: str | None = None, *, retain: bool
    ) -> None:
        """Publish and wait for the acknowledgement.

        Raises:
            DeliveryError: none came, or the broker refuses.
        """
        assert self._client is not None
        properties = None if number is None else _user_property(number)
        info = self._client.publish(topic, payload, 1, retain, properties)
        self._await(info.mid, f"does not take a message of topic {topic}")

    def _await(self, number: int, otherwise: str) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        why: str | None = "no answer in time"
        found = None
        while found not in (number, -1):
            try:
                found, why = self._answers.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
        if why is not None:
            self._drop()
            raise DeliveryError(f"{self._address.shown} {otherwise}: {why}")

    def _drop(self) -> None:
        """End the connection; a new one must not repeat by itself what was not acknowledged."""
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()


def _user_property(number: str) -> Properties:
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.UserProperty = ("id", number)
    return properties
