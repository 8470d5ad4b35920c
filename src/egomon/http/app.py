"""The application that every address serves: routes behind one check of Host and Origin."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from egomon.http.access import Access

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: with it a browser sends the login form with `Origin: null`.
    "Referrer-Policy": "same-origin",
}
# A client that sends byte by byte would else hold one of the few connections for ever.
BODY_SECONDS = 10.0


def create_app(routes: Sequence[BaseRoute], access: Access) -> Starlette:
    """The application; a request from a foreign web page or for a foreign host reaches no route.

    Args:
        routes: what is served.
        access: which Host and Origin are answered.
    """
    return Starlette(routes=routes, middleware=[Middleware(_Guard, access=access)])


class _Guard:
    """Refuses before anything is read, counted or opened for the request."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # start and end of the server
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        is_link = scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"
        answer: ASGIApp = self._app
        if not self._access.is_known_host(headers):
            answer = text("not allowed: the Host header names another machine", 403)
        elif self._access.is_foreign(headers) and not (is_link and "origin" not in headers):
            answer = text("not allowed from another origin", 403)
        await answer(scope, receive, send)


def text(words: str, status: int = 200) -> PlainTextResponse:
    """A plain answer that no cache keeps."""
    return PlainTextResponse(words, status, HEADERS)


async def read_body(request: Request, most_bytes: int) -> bytes | None:
    """Body of a request; None if it is longer, or did not come within ten seconds."""
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most_bytes:
                    return None
    except TimeoutError:
        return None
    return body


def hash_source(content: str) -> str:
    """Source expression of a Content Security Policy for an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
