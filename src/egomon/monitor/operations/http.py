"""HTTP pages for machines: `/metrics`, `/healthz`, `/readyz`."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Self

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from egomon.errors import AddressInUseError, ConfigError
from egomon.fusion.transport.sockets import is_local
from egomon.monitor.operations.prometheus import MonitorMetrics

READ_SECONDS = 2.0
"""A client that sends nothing is cut off: pages are served one after the other."""
POLL_SECONDS = 0.2
JOIN_SECONDS = 5.0
TEXT = "text/plain; charset=utf-8"


def parse_address(address: str, *, insecure_bind: bool) -> tuple[str, int]:
    """Host and port of `host:port`.

    >>> parse_address("[::1]:9464", insecure_bind=False)
    ('::1', 9464)

    Raises:
        ConfigError: no such form, or open to the network without the user insisting.
    """
    host, separator, port = address.rpartition(":")
    if not (separator and host and port.isdecimal() and int(port) < 65536):
        raise ConfigError(f"--metrics {address!r} is no address; write 127.0.0.1:9464")
    if not (insecure_bind or is_local(f"tcp://{address}")):
        raise ConfigError(
            f"--metrics {address} is open to the network; use 127.0.0.1:{port}, "
            "or --insecure-bind to do it anyway"
        )
    return host.strip("[]"), int(port)


class OperationsServer:
    """Serves the pages from a thread of its own; a context manager.

    Args:
        address: `host:port`; port 0 takes a free one.
        metrics: what is shown.
        unhealthy: why the process should be restarted; None while it is well.
        insecure_bind: allow addresses that other machines can reach.
        allow_degraded: ready also without the large branch.

    Raises:
        AddressInUseError: another program has the port.
        ConfigError: the address cannot be used.
    """

    def __init__(
        self,
        address: str,
        metrics: MonitorMetrics,
        *,
        unhealthy: Callable[[], str | None] = lambda: None,
        insecure_bind: bool = False,
        allow_degraded: bool = False,
    ) -> None:
        self.allow_degraded = allow_degraded
        host, port = parse_address(address, insecure_bind=insecure_bind)

        def answer(path: str) -> tuple[int, str, bytes]:
            if path == "/metrics":
                return 200, CONTENT_TYPE_LATEST, generate_latest(metrics.registry)
            if path == "/healthz":
                why = unhealthy()
            elif path == "/readyz":
                why = unhealthy() or metrics.not_ready(allow_degraded=self.allow_degraded)
            else:
                return 404, TEXT, b"pages: /metrics /healthz /readyz\n"
            return (200, TEXT, b"ok\n") if why is None else (503, TEXT, f"{why}\n".encode())

        class Pages(_Pages):
            page = staticmethod(answer)

        class Server(HTTPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that goes away is no news."""

        try:
            self._server = Server((host, port), Pages)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise AddressInUseError(
                    f"{address} is in use by another program; give another --metrics"
                ) from error
            raise ConfigError(f"cannot serve --metrics {address}: {error}") from error
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_SECONDS,), name="egomon-metrics"
        )
        self._thread.daemon = True

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # `shutdown` waits for the page that is being served: a client that sends one byte at a
        # time must not hold up the end of the run.
        threading.Thread(target=self._server.shutdown, daemon=True).start()
        self._thread.join(JOIN_SECONDS)
        self._server.server_close()


class _Pages(BaseHTTPRequestHandler):
    timeout = READ_SECONDS
    server_version = "egomon"
    sys_version = ""
    page: Callable[[str], tuple[int, str, bytes]]

    def do_GET(self) -> None:
        """One page."""
        status, kind, body = self.page(self.path.partition("?")[0])
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes are not logged."""
