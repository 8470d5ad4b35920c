"""Serves the live page from a thread of its own."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Self

from egomon.errors import AddressInUseError, EgomonError, MissingExtraError, UsageError
from egomon.report.access import is_loopback
from egomon.report.hub import LiveHub
from egomon.report.live import create_app

if TYPE_CHECKING:
    import uvicorn

JOIN_SECONDS = 5.0
LEAST_TOKEN = 16
EVERYWHERE = ("0.0.0.0", "::")


class LiveServer:
    """A context manager: the page is up inside it.

    Args:
        hub: what to show; closed on exit.
        host: address to listen on.
        port: 0 takes a free one.
        token: needed on any address but this machine's.

    Raises:
        MissingExtraError: the extra `view` is not installed.
        UsageError: another address without a token, or a short token.
        AddressInUseError: the port is taken.
    """

    def __init__(
        self, hub: LiveHub, *, host: str = "127.0.0.1", port: int = 0, token: str | None = None
    ) -> None:
        if token is None and not is_loopback(host):
            raise UsageError(
                f"the live page on {host} could be seen by others; give a token, or use 127.0.0.1"
            )
        if token is not None and len(token) < LEAST_TOKEN:
            raise UsageError(f"the token of the live page needs {LEAST_TOKEN} characters or more")
        self._hub = hub
        self._server = _server(hub, token)
        self._socket = _listen(host, port)
        self._host = host
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="live-page", daemon=True
        )

    @property
    def url(self) -> str:
        """Where the page is; without the token."""
        host = socket.gethostname() if self._host in EVERYWHERE else self._host
        name = f"[{host}]" if ":" in host else host
        return f"http://{name}:{self._port}/"

    def __enter__(self) -> Self:
        self._port = self._socket.getsockname()[1]
        self._thread.start()
        # The socket listens already: a browser that comes before the loop runs just waits.
        return self

    def __exit__(self, *_: object) -> None:
        self._hub.close()
        self._server.should_exit = True
        self._thread.join(JOIN_SECONDS)
        self._socket.close()
        if self._thread.is_alive():
            raise EgomonError(f"the live page did not end within {JOIN_SECONDS:.0f} s")


def _server(hub: LiveHub, token: str | None) -> uvicorn.Server:
    app = create_app(hub, token)
    try:
        import uvicorn
    except ModuleNotFoundError as error:
        raise MissingExtraError("the live page", "view") from error
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        log_level="warning",
        lifespan="off",
        timeout_graceful_shutdown=1,
        limit_concurrency=64,
        server_header=False,
    )
    return uvicorn.Server(config)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise AddressInUseError(
            f"the live page cannot listen on {host}:{port}: {error.strerror}; give another port"
        ) from error
    return listener
