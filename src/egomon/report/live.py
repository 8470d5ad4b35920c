"""The live page: the report's page, fed by server-sent events and a motion JPEG stream.

Needs the extra `view`; nothing of it is imported before `create_app` or `LiveServer` is called.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from egomon.errors import EgomonError, MissingExtraError
from egomon.report.access import COOKIE, Access
from egomon.report.html import asset, build_page, content_policy, script_text, style_text
from egomon.report.hub import FRAME_SECONDS, VERDICTS, LiveHub, TooManyClientsError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

SILENCE_SECONDS = 10.0
"""A comment goes out after this much silence, so that a dead connection is noticed."""
MOST_BODY_BYTES = 4096
BOUNDARY = "egomonframe"
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}

Endpoint = Callable[["Request"], Awaitable["Response"]]


def create_app(hub: LiveHub, token: str | None = None) -> Starlette:
    """The application.

    Args:
        hub: what to show.
        token: asked of every request; None answers only requests to this machine.

    Raises:
        MissingExtraError: the extra `view` is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.routing import Route
    except ModuleNotFoundError as error:
        raise MissingExtraError("the live page", "view") from error
    page = _Page(hub, Access(token))
    return Starlette(
        routes=[
            Route("/", page.guarded(page.index)),
            Route("/events", page.guarded(page.events)),
            Route("/frame/{source}", page.guarded(page.frames)),
            Route("/still/{alert_id}", page.guarded(page.still)),
            Route("/feedback", page.guarded(page.feedback), methods=["POST"]),
            Route("/login", page.login, methods=["POST"]),
        ]
    )


class _Page:
    def __init__(self, hub: LiveHub, access: Access) -> None:
        self._hub = hub
        self._access = access
        self._policy = content_policy(style_text(), script_text(live=True), live=True)

    def guarded(self, endpoint: Endpoint) -> Endpoint:
        """Only for those who may see the page; the others get the login, or nothing."""

        async def answer(request: Request) -> Response:
            if self._access.allows(request.headers, request.cookies):
                return await endpoint(request)
            if self._access.needs_token and request.url.path == "/":
                return _html(asset("login.html"), 401)
            return _text("not allowed", 401 if self._access.needs_token else 403)

        return answer

    async def index(self, request: Request) -> Response:
        data = self._hub.snapshot()
        page = await asyncio.to_thread(build_page, data, title=data["title"], live=True)
        return _html(page, 200, self._policy)

    async def login(self, request: Request) -> Response:
        """A form with the token; gives a cookie that scripts cannot read."""
        from urllib.parse import parse_qs

        from starlette.responses import RedirectResponse

        body = await _body(request)
        if body is None or not self._access.is_same_origin(request.headers):
            return _text("not allowed", 403)
        given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0]
        if not self._access.is_token(given):
            return _html(asset("login.html"), 401)
        response = RedirectResponse("/", status_code=303, headers=HEADERS)
        response.set_cookie(
            COOKIE,
            self._access.session,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    async def events(self, request: Request) -> Response:
        """Server-sent events: first everything, then each change."""
        from starlette.responses import StreamingResponse

        try:
            client = self._hub.join(asyncio.get_running_loop())
        except TooManyClientsError as error:
            return _text(str(error), 503)

        async def stream() -> AsyncIterator[str]:
            try:
                yield f"retry: 2000\ndata: {_snapshot(self._hub)}\n\n"
                while (changes := await client.take(SILENCE_SECONDS)) is not None:
                    yield "".join(f"data: {change}\n\n" for change in changes) or ": alive\n\n"
            finally:
                self._hub.leave(client)

        return StreamingResponse(stream(), media_type="text/event-stream", headers=HEADERS)

    async def frames(self, request: Request) -> Response:
        """Motion JPEG, at most five pictures a second."""
        from starlette.responses import StreamingResponse

        source = request.path_params["source"]
        if not self._hub.has_source(source):
            return _text("no such source", 404)

        async def stream() -> AsyncIterator[bytes]:
            # The head of a picture is sent with the picture before it: a browser shows a picture
            # only once it has seen the next one's head.
            last, head = -1, f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n\r\n".encode()
            yield head
            while not self._hub.closed:
                found = await asyncio.to_thread(self._hub.picture, source)
                if found is not None and found[0] != last:
                    last, jpeg = found
                    yield jpeg + b"\r\n" + head
                await asyncio.sleep(FRAME_SECONDS)

        kind = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
        return StreamingResponse(stream(), media_type=kind, headers=HEADERS)

    async def still(self, request: Request) -> Response:
        """The picture of one alert."""
        from starlette.responses import Response

        jpeg = self._hub.still_of(request.path_params["alert_id"])
        if jpeg is None:
            return _text("no such picture", 404)
        return Response(jpeg, media_type="image/jpeg", headers=HEADERS)

    async def feedback(self, request: Request) -> Response:
        """`{"alert_id": ..., "verdict": "true" | "false" | "unsure"}`."""
        headers = request.headers
        if not (self._access.is_same_origin(headers) or self._access.has_bearer(headers)):
            return _text("not allowed from another origin", 403)
        fields = _fields(await _body(request))
        alert_id, verdict = fields.get("alert_id"), fields.get("verdict")
        if not isinstance(alert_id, str) or verdict not in VERDICTS:
            return _text(f"alert_id and verdict ({', '.join(VERDICTS)}) are needed", 400)
        try:
            done = await asyncio.to_thread(self._hub.feedback, alert_id, str(verdict))
        except EgomonError as error:
            return _text(str(error), 500)
        return _text("stored", 200) if done else _text("no such alert", 404)


def _snapshot(hub: LiveHub) -> str:
    from egomon.report.html import safe_json

    return safe_json({"kind": "snapshot", "data": hub.snapshot()})


async def _body(request: Request) -> bytes | None:
    """At most 4 KiB; None if there is more."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY_BYTES:
            return None
    return body


def _fields(body: bytes | None) -> dict[str, Any]:
    try:
        fields = json.loads(body or b"")
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _html(page: str, status: int, policy: str | None = None) -> Response:
    from starlette.responses import HTMLResponse

    login = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'"
    return HTMLResponse(page, status, {**HEADERS, "Content-Security-Policy": policy or login})


def _text(text: str, status: int) -> Response:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(text, status, HEADERS)
