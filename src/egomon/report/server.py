"""Serves the live page."""

from __future__ import annotations

import socket

from egomon.errors import UsageError
from egomon.http.access import Access, is_loopback
from egomon.http.app import create_app
from egomon.http.server import HttpServer
from egomon.report.hub import LiveHub
from egomon.report.live import page_routes

# 16 hex digits are 64 bits, which nobody guesses over a network.
LEAST_TOKEN = 16
EVERYWHERE = ("0.0.0.0", "::")


class LiveServer(HttpServer):
    """A context manager: the page is up inside it.

    Args:
        hub: what to show; closed on exit.
        host: address to listen on.
        port: 0 takes a free one.
        token: needed on any address but this machine's.

    Raises:
        UsageError: another address without a token, or a short token.
        AddressInUseError: the port is taken.
        ConfigError: the address cannot be used.
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
        access = Access(token)
        app = create_app(page_routes(hub, access), access)
        super().__init__(app, (host, port), option="--view-address", name="live-page")
        self._hub = hub
        self._host = host

    @property
    def url(self) -> str:
        """Address of the page, without the token."""
        host = socket.gethostname() if self._host in EVERYWHERE else self._host
        name = f"[{host}]" if ":" in host else host
        return f"http://{name}:{self.port}/"

    def __exit__(self, *_: object) -> None:
        self._hub.close()
        super().__exit__()
