"""CURVE keys of the clients that may connect to any address but loopback.

`keygen` writes one folder:

```
server.key          public, safe to hand out
server.key_secret   0600, stays with the monitor
client.key          public
client.key_secret   0600, goes to the subscriber together with server.key
clients/*.key       the allow-list: public keys of those who may connect
```
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import zmq
import zmq.auth

from egomon.errors import ConfigError

logger = logging.getLogger(__name__)

ZAP_ADDRESS = "inproc://zeromq.zap.01"
"""Fixed by ZeroMQ RFC 27."""


@dataclass(frozen=True, slots=True)
class CurveConfig:
    """Keys of one side, 40 characters of z85 each."""

    public_key: bytes
    secret_key: bytes = field(repr=False)
    server_key: bytes | None = None
    """The monitor's public key; None on the monitor itself."""
    allowed: frozenset[bytes] = frozenset()
    """On the monitor: public keys of the clients that may connect."""

    @classmethod
    def server(cls, folder: str | Path) -> Self:
        """Keys of the monitor and its allow-list.

        Raises:
            ConfigError: a key is missing or unreadable, or nobody is allowed.
        """
        public, secret = _load(Path(folder) / "server.key_secret")
        allowed = frozenset(_load(path)[0] for path in Path(folder, "clients").glob("*.key"))
        if not allowed:
            raise ConfigError(
                f"no client may connect: {folder}/clients holds no .key file; "
                "copy the public key of each client there"
            )
        return cls(public, _need_secret(secret, folder), allowed=allowed)

    @classmethod
    def client(cls, folder: str | Path) -> Self:
        """Keys of a subscriber: `client.key_secret` and the monitor's `server.key`.

        Raises:
            ConfigError: a key is missing or unreadable.
        """
        public, secret = _load(Path(folder) / "client.key_secret")
        server_key, _ = _load(Path(folder) / "server.key")
        return cls(public, _need_secret(secret, folder), server_key=server_key)

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Set the options on a socket, before it binds or connects."""
        socket.curve_publickey = self.public_key
        socket.curve_secretkey = self.secret_key
        if self.server_key is None:
            socket.curve_server = True
        else:
            socket.curve_serverkey = self.server_key


def keygen(folder: str | Path) -> list[Path]:
    """Write fresh keys of a monitor and one allowed client; secrets are readable by the owner only.

    Returns:
        The files written.

    Raises:
        ConfigError: keys are already there, or the folder cannot be written.
    """
    folder = Path(folder)
    if (folder / "server.key_secret").exists():
        raise ConfigError(f"{folder} already holds keys; remove them first, or give another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / "clients").mkdir(exist_ok=True)
        written: list[Path] = []
        for name in ("server", "client"):
            for path in map(Path, zmq.auth.create_certificates(folder, name)):
                path.chmod(0o600 if path.suffix == ".key_secret" else 0o644)
                written.append(path)
        allowed = folder / "clients" / "client.key"
        shutil.copyfile(folder / "client.key", allowed)
    except OSError as error:
        raise ConfigError(f"cannot write keys to {folder}: {error}") from error
    return [*written, allowed]


class ZapAuthenticator:
    """Decides which clients may connect (ZAP, RFC 27), in the caller's own thread.

    Bound before the sockets it guards, since without a handler libzmq lets every key in.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], allowed: frozenset[bytes]) -> None:
        self.denied = 0
        """Handshakes refused because of an unknown key."""
        self._allowed = allowed
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        try:
            self.socket.bind(ZAP_ADDRESS)
        except zmq.ZMQError as error:
            self.socket.close()
            raise ConfigError(f"another CURVE server uses this ZeroMQ context: {error}") from error

    def serve(self) -> int:
        """Answer all waiting handshakes; returns how many."""
        answered = 0
        while True:
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return answered
            answered += 1
            self.socket.send_multipart(self._answer(frames))

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def _answer(self, frames: list[bytes]) -> list[bytes]:
        peer, _, version, request, _, _, _, mechanism, *credentials = frames
        key = zmq.utils.z85.encode(credentials[0]) if mechanism == b"CURVE" and credentials else b""
        if key in self._allowed:
            return [peer, b"", version, request, b"200", b"OK", key, b""]
        self.denied += 1
        return [peer, b"", version, request, b"400", b"unknown key", b"", b""]


def _load(path: Path) -> tuple[bytes, bytes | None]:
    try:
        if path.suffix == ".key_secret" and path.stat().st_mode & 0o077:
            logger.warning("%s can be read by others; chmod 600 it, or make new keys", path)
        return zmq.auth.load_certificate(path)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot read the CURVE key {path}: {error}; egomon keygen writes one"
        ) from error


def _need_secret(secret: bytes | None, folder: str | Path) -> bytes:
    if secret is None:
        raise ConfigError(f"a .key_secret file in {folder} holds no secret key; run egomon keygen")
    return secret
