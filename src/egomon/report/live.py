"""The live page: the report's page, fed by server-sent events and a motion JPEG stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from egomon.errors import EgomonError, UsageError
from egomon.http.access import COOKIE, Access
from egomon.http.app import HEADERS, read_body, text
from egomon.report.html import (
    asset,
    build_page,
    content_policy,
    safe_json,
    script_text,
    style_text,
)
from egomon.report.hub import FRAME_SECONDS, VERDICTS, LiveHub, TooManyClientsError

SILENCE_SECONDS = 10.0
"""A comment goes out after this much silence, so that a dead connection is noticed."""
MOST_BODY_BYTES = 16384
BOUNDARY = "egomonframe"

Endpoint = Callable[[Request], Awaitable[Response]]


def page_routes(hub: LiveHub, access: Access) -> list[Route]:
    """Routes of the page and of what it asks for.

    Args:
        hub: what to show.
        access: who may see it.
    """
    page = _Page(hub, access)
    return [
        Route("/", page.guarded(page.index)),
        Route("/events", page.guarded(page.events)),
        Route("/frame/{source}", page.guarded(page.frames)),
        Route("/still/{alert_id}", page.guarded(page.still)),
        Route("/step/{step}", page.guarded(page.step)),
        Route("/run/{name}", page.guarded(page.run)),
        Route("/do/{action}", page.guarded(page.act), methods=["POST"]),
        Route("/feedback", page.guarded(page.feedback), methods=["POST"]),
        Route("/login", page.login, methods=["POST"]),
    ]


class _Page:
    def __init__(self, hub: LiveHub, access: Access) -> None:
        self._hub = hub
        self._access = access
        self._policy = content_policy(style_text(), script_text(live=True), live=True)

    def guarded(self, endpoint: Endpoint) -> Endpoint:
        """Only for those who have the token; the others get the login, or nothing."""

        async def answer(request: Request) -> Response:
            if self._access.is_allowed(request.headers, request.cookies):
                return await endpoint(request)
            if request.url.path == "/":
                return _html(asset("login.html"), 401)
            return text("not allowed", 401)

        return answer

    async def index(self, request: Request) -> Response:
        data = self._hub.snapshot()
        page = await asyncio.to_thread(build_page, data, title=data["title"], live=True)
        return _html(page, 200, self._policy)

    async def login(self, request: Request) -> Response:
        """A form with the token; gives a cookie that scripts cannot read."""
        body = await read_body(request, MOST_BODY_BYTES)
        if body is None or not self._access.is_same_origin(request.headers):
            return text("not allowed", 403)
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
        try:
            client = self._hub.join(asyncio.get_running_loop())
        except TooManyClientsError as error:
            return text(str(error), 503)

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
        source = request.path_params["source"]
        if not self._hub.has_source(source):
            return text("no such source", 404)

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
        jpeg = self._hub.still_of(request.path_params["alert_id"])
        if jpeg is None:
            return text("no such picture", 404)
        return Response(jpeg, media_type="image/jpeg", headers=HEADERS)

    async def step(self, request: Request) -> Response:
        """The picture of a step of the workflow."""
        jpeg = await asyncio.to_thread(self._hub.step_picture, request.path_params["step"])
        if jpeg is None:
            return text("no such picture", 404)
        return Response(jpeg, media_type="image/jpeg", headers=HEADERS)

    async def run(self, request: Request) -> Response:
        """The video of a recorded run, or the part that is asked for."""
        path = await asyncio.to_thread(self._hub.run_video, request.path_params["name"])
        if path is None:
            return text("no such run", 404)
        return FileResponse(path, media_type="video/mp4", headers=HEADERS)

    async def act(self, request: Request) -> Response:
        """Do what one of the hub's actions does with the fields of a JSON object."""
        if not self._may_change(request):
            return text("not allowed from another origin", 403)
        action = self._hub.actions.get(request.path_params["action"])
        if action is None:
            return text("this page cannot do that", 404)
        try:
            return text(
                await asyncio.to_thread(action, _fields(await read_body(request, MOST_BODY_BYTES)))
            )
        except UsageError as error:
            return text(str(error), 400)
        except EgomonError as error:
            return text(str(error), 500)

    def _may_change(self, request: Request) -> bool:
        headers = request.headers
        return self._access.is_same_origin(headers) or self._access.has_bearer(headers)

    async def feedback(self, request: Request) -> Response:
        """`{"alert_id": ..., "verdict": "true" | "false" | "unsure"}`."""
        if not self._may_change(request):
            return text("not allowed from another origin", 403)
        fields = _fields(await read_body(request, MOST_BODY_BYTES))
        alert_id, verdict = fields.get("alert_id"), fields.get("verdict")
        if not isinstance(alert_id, str) or verdict not in VERDICTS:
            return text(f"alert_id and verdict ({', '.join(VERDICTS)}) are needed", 400)
        try:
            done = await asyncio.to_thread(self._hub.feedback, alert_id, str(verdict))
        except EgomonError as error:
            return text(str(error), 500)
        return text("stored", 200) if done else text("no such alert", 404)


def _snapshot(hub: LiveHub) -> str:
    return safe_json({"kind": "snapshot", "data": hub.snapshot()})


def _fields(body: bytes | None) -> dict[str, Any]:
    try:
        fields = json.loads(body or b"")
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _html(page: str, status: int, policy: str | None = None) -> Response:
    login = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'"
    return HTMLResponse(page, status, {**HEADERS, "Content-Security-Policy": policy or login})
