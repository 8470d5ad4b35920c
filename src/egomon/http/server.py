"""Serves an application from a thread of its own, with bounds on slow and on many clients."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
from pathlib import Path
from typing import Any, Self

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from egomon.errors import AddressInUseError, ConfigError, EgomonError

logger = logging.getLogger(__name__)

# Uvicorn waits a second for its clients, and once more for a thread's turn.
JOIN_SECONDS = 5.0
HEAD_SECONDS = 10.0
"""A client gets so long for the head of a request; uvicorn itself would wait for ever."""
READ_SECONDS = 30.0
"""... and for taking in what was sent to it."""
# A browser opens connections in reserve and sends nothing: they are not even accepted.
DEFER_SECONDS = 5
HEAD_BYTES = 1 << 16
PLAIN_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
    b"This page is encrypted: write https:// instead of http:// before its address.\n"
)
# A page open in a dozen tabs; more is a flood, and each connection costs memory.
MOST_CONNECTIONS = 64
MOST_WAITING = 32
"""Connections without a whole request head; the oldest makes room for a new one."""


class HttpServer:
    """A context manager: the application is up inside it.

    Args:
        app: answers in the server's event loop.
        address: host and port to listen on; port 0 takes a free one.
        option: the command-line option that sets the address, for messages.
        name: of the thread.
        certificate: files of a certificate and its key (None: in the same file); served over HTTPS.

    Raises:
        AddressInUseError: another program has the port.
        ConfigError: the address cannot be used.
    """

    def __init__(
        self,
        app: ASGIApp,
        address: tuple[str, int],
        *,
        option: str,
        name: str,
        certificate: tuple[Path, Path | None] | None = None,
    ) -> None:
        listener = socket.socket if certificate is None else EncryptedOnly
        self._socket = _listen(*address, option, listener)
        self._name = name
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=_Connection,
                ws="none",
                access_log=False,
                log_config=None,
                log_level="error",  # a client's broken request is no news
                lifespan="off",
                timeout_graceful_shutdown=1,
                limit_concurrency=MOST_CONNECTIONS,
                server_header=False,
                ssl_certfile=None if certificate is None else certificate[0],
                ssl_keyfile=None if certificate is None else certificate[1],
            )
        )
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name=name, daemon=True
        )

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs; before its start and after its end or crash it does not."""
        return self._thread.is_alive()

    def __enter__(self) -> Self:
        # The socket listens already: a client that comes before the loop runs just waits.
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(JOIN_SECONDS)
        self._socket.close()
        if self._thread.is_alive():
            raise EgomonError(f"the {self._name} did not end within {JOIN_SECONDS:.0f} s")


class EncryptedOnly(socket.socket):
    """A listening socket for TLS; who speaks plain HTTP to it is told so."""

    def listen(self, backlog: int = 64, /) -> None:
        """See `socket.socket`."""
        super().listen(backlog)
        if hasattr(socket, "TCP_DEFER_ACCEPT"):  # Linux: connections come with their first bytes
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_SECONDS)

    def accept(self) -> tuple[socket.socket, Any]:
        """See `socket.socket`; ConnectionAbortedError after plain HTTP was answered."""
        connection, address = super().accept()
        connection.setblocking(False)
        try:
            speaks_plain = connection.recv(1, socket.MSG_PEEK).isalpha()
            if speaks_plain:
                connection.recv(
                    HEAD_BYTES
                )  # what is left unread would turn the answer into a reset
                connection.send(PLAIN_ANSWER)
        except OSError:  # nothing came yet
            return connection, address
        if speaks_plain:
            connection.close()
            logger.warning("%s asks for the page by http://; it needs https://", address[0])
            raise ConnectionAbortedError
        return connection, address


class _Connection(H11Protocol):
    """One connection; cut while it waits for its client for too long."""

    _head: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        waiting = {
            c: c._head.when() for c in self.connections if isinstance(c, _Connection) and c._head
        }
        if len(waiting) >= MOST_WAITING:
            min(waiting, key=lambda c: waiting[c])._drop()
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def shutdown(self) -> None:
        super().shutdown()
        if self.cycle is None or self.cycle.response_complete:
            self._drop()  # over TLS a close would wait for the client's answer

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._end_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        self._end_reading()
        super().connection_lost(exc)

    def _watch_head(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._end_head()
        elif self._head is None:
            self._head = self.loop.call_later(HEAD_SECONDS, self._drop)

    def _drop(self) -> None:
        # At once, not when the loop comes to `connection_lost`: a burst is taken in one turn.
        self._end_head()
        self.connections.discard(self)
        self.transport.abort()

    def _end_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _end_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None


def _listen(
    host: str, port: int, option: str, kind: type[socket.socket] = socket.socket
) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = kind(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(64)
    except OSError as error:
        listener.close()
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if error.errno == errno.EADDRINUSE:
            raise AddressInUseError(
                f"{address} is in use by another program; give another port with {option}"
            ) from error
        raise ConfigError(f"cannot listen on {option} {address}: {error.strerror}") from error
    return listener
