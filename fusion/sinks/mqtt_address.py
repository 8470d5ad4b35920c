"""Addresses of MQTT brokers, with credentials and certificates, for the sink and the subscriber."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from egomon.errors import ConfigError, MissingExtraError, UsageError
from egomon.fusion.sinks.uri import SinkUri, parse_uri

if TYPE_CHECKING:
    from paho.mqtt.client import Client

USERNAME, PASSWORD = "EGOMON_MQTT_USERNAME", "EGOMON_MQTT_PASSWORD"
CREDENTIAL_OPTIONS = ("username_file", "password_file", "ca_file")
TIMEOUT_SECONDS = 4.0
"""Of each wait for the broker; below the time that a run has for its last messages."""
# The broker says that a monitor is gone after one and a half of these.
KEEPALIVE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class MqttAddress:
    """A broker, and who it lets in."""

    uri: SinkUri
    prefix: str
    """First levels of all topics."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None

    @property
    def shown(self) -> str:
        """Without credentials."""
        return self.uri.shown

    @property
    def port(self) -> int:
        """As given, else the registered one."""
        return self.uri.port or (8883 if self.uri.scheme == "mqtts" else 1883)

    def new_client(
        self, name: str = "", *, manual_ack: bool = False, again: bool = False
    ) -> Client:
        """A client of MQTT 5, not connected.

        Args:
            name: client id; empty = the broker chooses one.
            manual_ack: messages are acknowledged by the caller.
            again: it connects anew by itself.

        Raises:
            OSError: the certificates cannot be read.
        """
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=name,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=again,
            manual_ack=manual_ack,
        )
        client.connect_timeout = TIMEOUT_SECONDS
        if self.username is not None:
            client.username_pw_set(self.username, self.password)
        if self.uri.scheme == "mqtts":
            client.tls_set(self.ca_file)
        return client


def mqtt_address(reference: str, options: tuple[str, ...] = (), *, label: str = "") -> MqttAddress:
    """Take the address of a broker apart.

    Args:
        reference: `mqtt(s)://[USER[:PASSWORD]@]HOST[:PORT][/PREFIX][#OPTION=VALUE&...]`.
        options: names that may stand behind the `#`, beside those of credentials.
        label: what the user gave, for messages; empty = a sink.

    Raises:
        UsageError: the reference is no address of a broker, or has an unknown option.
        ConfigError: user name, password or certificates cannot be used.
        MissingExtraError: without paho-mqtt.
    """
    uri = parse_uri(reference, (*options, *CREDENTIAL_OPTIONS), label=label)
    prefix = uri.path.strip("/") or "egomon"
    if any(sign in prefix for sign in "+#\0") or "//" in prefix:
        raise UsageError(f"{uri.shown}: no topic may hold +, # or an empty level; change PATH")
    ca_file = uri.options.get("ca_file")
    if ca_file is not None and not Path(ca_file).is_file():
        raise ConfigError(f"{uri.shown}: ca_file is no file; give one with certificates")
    try:
        import paho.mqtt.client
    except ImportError as error:
        raise MissingExtraError(f"{label or 'a sink'} mqtt(s)://", "sinks") from error
    del paho
    return MqttAddress(
        uri,
        prefix,
        uri.username or uri.secret("username_file", USERNAME),
        uri.password or uri.secret("password_file", PASSWORD),
        ca_file,
    )
