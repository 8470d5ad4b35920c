"""HTTP pages for machines: `/metrics`, `/healthz`, `/readyz`."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import make_asgi_app
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from egomon.errors import ConfigError
from egomon.http.access import Access, is_loopback, parse_address
from egomon.http.app import create_app, text
from egomon.http.server import HttpServer
from egomon.monitor.operations.prometheus import MonitorMetrics

OPTION = "--metrics"


class OperationsServer(HttpServer):
    """Serves the pages from a thread of its own; a context manager.

    Args:
        address: `host:port`; port 0 takes a free one.
        metrics: what is shown.
        unhealthy: why the process should be restarted; None while it is well.
        insecure_bind: allow addresses that other machines can reach.
        allow_degraded: ready also without the large branch.

    Raises:
        AddressInUseError: another program has the port.
        ConfigError: no address, one that cannot be used, or open to the network without the user
            insisting.
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
        host, port = parse_address(address, option=OPTION, example="127.0.0.1:9464")
        if not (insecure_bind or is_loopback(host)):
            raise ConfigError(
                f"{OPTION} {address} is open to the network; use 127.0.0.1:{port}, "
                "or --insecure-bind to do it anyway"
            )
        self.allow_degraded = allow_degraded
        figures: ASGIApp = make_asgi_app(metrics.registry)

        async def prometheus(request: Request) -> ASGIApp:
            return figures  # a response is an application too; a mount would redirect to /metrics/

        async def healthz(request: Request) -> Response:
            return _answer(unhealthy())

        async def readyz(request: Request) -> Response:
            return _answer(unhealthy() or metrics.not_ready(allow_degraded=self.allow_degraded))

        async def missing(request: Request) -> Response:
            return text("pages: /metrics /healthz /readyz\n", 404)

        routes = [
            Route("/metrics", prometheus),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/{path:path}", missing),
        ]
        app = create_app(routes, Access(any_host=not is_loopback(host)))
        super().__init__(app, (host, port), option=OPTION, name="metrics")


def _answer(why: str | None) -> Response:
    return text("ok\n") if why is None else text(f"{why}\n", 503)
