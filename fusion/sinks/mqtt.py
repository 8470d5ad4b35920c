"""The sinks `mqtt://` and `mqtts://`: MQTT 5, QoS 1, with discovery for Home Assistant."""

from __future__ import annotations

import queue
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from egomon.errors import ConfigError, DeliveryError, MissingExtraError, UsageError
from egomon.fusion.messages.envelope import encode
from egomon.fusion.messages.message import Message
from egomon.fusion.sinks.home_assistant import discovery
from egomon.fusion.sinks.picture import picture_of
from egomon.fusion.sinks.sink import SinkContext
from egomon.fusion.sinks.uri import parse_uri

if TYPE_CHECKING:
    from paho.mqtt.client import Client
    from paho.mqtt.properties import Properties

TIMEOUT_SECONDS = 4.0
"""Of each wait for the broker; below the time that a run has for its last messages."""
KEEPALIVE_SECONDS = 30
USERNAME, PASSWORD = "EGOMON_MQTT_USERNAME", "EGOMON_MQTT_PASSWORD"
RETAINED = ("alert", "segment", "status")
"""Kinds whose last message is the present state."""
NO_DISCOVERY = "none"
_OPTIONS = ("kinds", "discovery", "username_file", "password_file", "ca_file")


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

    def __init__(self, reference: str) -> None:
        uri = self._uri = parse_uri(reference, _OPTIONS)
        self.kinds = uri.kinds(("alert", "segment", "status", "gap"))
        self._prefix = uri.path.strip("/") or "egomon"
        if any(sign in self._prefix for sign in "+#\0") or "//" in self._prefix:
            raise UsageError(f"{uri.shown}: no topic may hold +, # or an empty level; change PATH")
        self._username = uri.username or uri.secret("username_file", USERNAME)
        self._password = uri.password or uri.secret("password_file", PASSWORD)
        self._discovery = uri.options.get("discovery", "homeassistant").strip("/")
        self._ca_file = uri.options.get("ca_file")
        if self._ca_file is not None and not Path(self._ca_file).is_file():
            raise ConfigError(f"{uri.shown}: ca_file is no file; give one with certificates")
        self._client: Client | None = None
        self._answers: queue.SimpleQueue[tuple[int, str | None]] = queue.SimpleQueue()
        self._context = SinkContext()
        try:
            import paho.mqtt.client
        except ImportError as error:
            raise MissingExtraError("a sink mqtt(s)://", "sinks") from error
        del paho

    def open(self, context: SinkContext) -> None:
        """See `Sink`; connects with the first message."""
        self._context = context

    def send(self, message: Message) -> None:
        """See `Sink`."""
        if self._client is None:
            self._connect()
        envelope, topic = message.envelope, self._topic(message.source, message.kind)
        number = f"{envelope.boot}:{envelope.seq}"
        picture = picture_of(message)
        if picture is not None:
            self._publish(self._topic(message.source, "picture"), picture, number, retain=True)
        self._publish(topic, encode(envelope), number, retain=message.kind in RETAINED)

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
        return self._topic(next(iter(self._context.sources), "egomon"), "availability")

    def _topic(self, source: str, kind: str) -> str:
        return f"{self._prefix}/{self._context.site}/{source}/{kind}"

    def _connect(self) -> None:
        """Connect and say who is there.

        Raises:
            DeliveryError: the broker is away or refuses.
        """
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        answers: queue.SimpleQueue[tuple[int, str | None]] = queue.SimpleQueue()
        client = Client(
            CallbackAPIVersion.VERSION2,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = TIMEOUT_SECONDS
        if self._username is not None:
            client.username_pw_set(self._username, self._password)
        client.will_set(self._availability, b"offline", qos=1, retain=True)

        def told(number: int, code: Any) -> None:
            answers.put((number, str(code) if code.is_failure else None))

        client.on_connect = lambda c, u, flags, code, p: told(0, code)
        client.on_publish = lambda c, u, number, code, p: told(number, code)
        client.on_disconnect = lambda c, u, f, code, p: answers.put((-1, "it hung up"))
        self._client, self._answers = client, answers
        try:
            if self._uri.scheme == "mqtts":
                client.tls_set(self._ca_file)
            port = self._uri.port or (8883 if self._uri.scheme == "mqtts" else 1883)
            client.connect(self._uri.host, port, KEEPALIVE_SECONDS, clean_start=True)
        except (OSError, ValueError) as error:
            self._client = None
            raise DeliveryError(f"{self._uri.shown} cannot be reached: {error}") from error
        client.loop_start()
        self._await(0, "refuses the connection")
        if self._discovery != NO_DISCOVERY:
            for source in self._context.sources:
                name, payload = discovery(
                    self._context.site, source, self._topic(source, ""), self._availability
                )
                self._publish(f"{self._discovery}/device/{name}/config", payload, retain=True)
        self._publish(self._availability, b"online", retain=True)

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
            raise DeliveryError(f"{self._uri.shown} {otherwise}: {why}")

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
