"""A real broker on loopback that can be killed and started again, and a subscriber."""

from __future__ import annotations

import queue
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

PROGRAM = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
SECONDS = 20.0


class Broker:
    """A mosquitto.

    Args:
        folder: for its files.
        password: lets in `me` only.
        keeps: sessions and messages are on disk after each change, as a killed broker needs it.
        tls: certificate and key.
    """

    def __init__(
        self,
        folder: Path,
        *,
        password: str | None = None,
        keeps: bool = False,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._config = folder / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", f"allow_anonymous {str(not password).lower()}"]
        if password:
            passwords = folder / "passwords"
            subprocess.run(
                ["mosquitto_passwd", "-b", "-c", str(passwords), "me", password], check=True
            )
            passwords.chmod(0o644)
            folder.chmod(0o755)
            lines += [f"password_file {passwords}", "user root"]
        if keeps:
            lines += ["user root", "persistence true", f"persistence_location {folder}/"]
            lines += ["autosave_on_changes true", "autosave_interval 1", "max_queued_messages 0"]
        if tls:
            lines += ["user root", f"certfile {tls[0]}", f"keyfile {tls[1]}"]
        self._config.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        assert PROGRAM is not None
        self._process = subprocess.Popen(
            [PROGRAM, "-c", str(self._config)], stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:  # it is told when the socket is open
            if "running" in line:
                return
        raise AssertionError("mosquitto did not start")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@contextmanager
def subscribed(broker: Broker, topics: str = "#") -> Iterator[queue.SimpleQueue[MQTTMessage]]:
    got: queue.SimpleQueue[MQTTMessage] = queue.SimpleQueue()
    ready: queue.SimpleQueue[Any] = queue.SimpleQueue()
    client = Client(
        CallbackAPIVersion.VERSION2,
        protocol=MQTTProtocolVersion.MQTTv5,
        reconnect_on_failure=False,
    )
    client.on_message = lambda c, u, message: got.put(message)
    client.on_subscribe = lambda *told: ready.put(told)
    client.on_connect = lambda *told: client.subscribe(topics, 1)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    try:
        ready.get(timeout=SECONDS)
        yield got
    finally:
        client.disconnect()
        client.loop_stop()


def number_of(message: MQTTMessage) -> str | None:
    return dict(getattr(message.properties, "UserProperty", [])).get("id")
