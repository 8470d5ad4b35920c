"""Serves the phone's page and its WHIP endpoint (RFC 9725) over HTTPS, for all phones of a run."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from egomon.http.access import Access, is_loopback
from egomon.http.app import HEADERS, create_app, hash_source, read_body, text
from egomon.http.server import HttpServer
from egomon.stream.sources.webrtc.certificate import check_certificate, own_certificate
from egomon.stream.sources.webrtc.place import PhonePlace, PlaceTakenError
from egomon.stream.sources.webrtc.session import OfferError, WhipSession

logger = logging.getLogger(__name__)

EVERYWHERE = ("0.0.0.0", "::")
# Real offers have a few KB, and whoever is on the network can send one.
MOST_OFFER_BYTES = 1 << 16
ANSWER_SECONDS = 10.0
PENALTY_SECONDS = 1.0
"""A wrong code is answered so much later: codes cannot be tried quickly."""
SESSION_HEADER = "Egomon-Session"
PROBLEMS = {
    "insecure": "its page is not encrypted, so the browser gives no camera; use the https:// link",
    "old": "its browser is too old: it has no camera or no WebRTC for pages",
    "denied": "its browser was not allowed to use the camera; allow it in the browser's settings",
    "camera": "its browser finds no camera, or another app uses it",
    "network": "its picture finds no way to this computer; are both in one network, UDP allowed?",
}
"""What a page says of itself when it cannot send."""


@dataclass(frozen=True, slots=True)
class PhoneAddress:
    """Where and how a server listens."""

    host: str
    port: int
    certificate: Path | None = None
    """PEM; None = a self-made one."""
    private_key: Path | None = None
    """PEM; None = in the certificate's file."""

    @property
    def name(self) -> str:
        """Address or name under which others reach this machine."""
        return local_address() if self.host in EVERYWHERE else self.host


def local_address() -> str:
    """This machine's address in its network, or its name where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: the system only chooses the way
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])


class PhoneServer(HttpServer):
    """One address with the places of its phones; started by the first, ended by the last.

    Raises:
        AddressInUseError: another program listens there.
        ConfigError: the address or the certificate cannot be used.
    """

    _servers: ClassVar[dict[int, PhoneServer]] = {}
    _all = threading.Lock()

    def __init__(self, listen: PhoneAddress) -> None:
        certificate = listen.certificate or own_certificate(listen.name)
        check_certificate(certificate, listen.private_key)
        self._places: dict[str, PhonePlace] = {}
        self._page, self._policy = _page()
        routes = [
            Route("/", self._index),
            Route("/whip", self._offer, methods=["POST"]),
            Route("/whip/{session}", self._end, methods=["DELETE"]),
            Route("/problem", self._problem, methods=["POST"]),
        ]
        super().__init__(
            create_app(routes, Access(any_host=True)),
            (listen.host, listen.port),
            option="--device phone://HOST:PORT",
            name="phone page",
            certificate=(certificate, listen.private_key),
        )
        name = f"[{listen.name}]" if ":" in listen.name else listen.name
        self.url = f"https://{name}:{self.port}/"
        if not is_loopback(listen.host):
            logger.info("%s: who has the link can send video", self.url)

    @classmethod
    def place(cls, listen: PhoneAddress, name: str) -> tuple[PhoneServer, PhonePlace]:
        """The place of a source, at the server of this address; `leave` gives it back.

        Raises:
            AddressInUseError: another program listens there.
            ConfigError: the address or the certificate cannot be used.
        """
        with cls._all:
            server = cls._servers.get(listen.port)
            if server is None or not server.is_alive:
                server = cls(listen)
                server.__enter__()
                cls._servers[server.port] = server
            place = server._places.get(name)
            if place is None:
                place = server._places[name] = PhonePlace(name)
            else:
                place.users += 1
            return server, place

    def leave(self, place: PhonePlace) -> None:
        """Give a place back; the last one ends the server."""
        with self._all:
            place.users -= 1
            if place.users > 0:
                return
            place.clear()
            if len(self._places) > 1:
                del self._places[place.name]
                return
            if self._servers.get(self.port) is self:
                del self._servers[self.port]
        self.__exit__()

    @classmethod
    def tell(cls, name: str, words: str) -> None:
        """Send a text to the page of a source; from any thread, never waits."""
        for server in list(cls._servers.values()):
            place = server._places.get(name)
            if place is not None:
                place.tell(words)

    def link_of(self, place: PhonePlace) -> str:
        """Address for one browser. What follows the # stays in it: no server or log sees it."""
        return f"{self.url}#token={place.code}"

    async def _index(self, request: Request) -> Response:
        return HTMLResponse(self._page, 200, {**HEADERS, "Content-Security-Policy": self._policy})

    async def _offer(self, request: Request) -> Response:
        given = _bearer(request)
        found = self._find(given)
        if found is None:
            return await self._refuse(request)
        place, owner = found
        if place.closed:
            return text("egomon has ended; scan the code of its next run", 503)
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/sdp":
            return text("an offer is of type application/sdp", 415)
        body = await read_body(request, MOST_OFFER_BYTES)
        if body is None:
            return text("this offer is too long or came too slowly", 413)
        session = WhipSession(owner)
        try:
            place.check_free(owner)
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await session.answer(body.decode("utf-8", "replace"))
            if place.admits(given) is None:  # the code was used while this offer was read
                return await self._refuse(request)
            place.check_free(owner)
            secret = place.secret_for(given)
            await place.put(session)
        except (OfferError, PlaceTakenError, TimeoutError) as error:
            said = str(error) or "the offer could not be answered in time"
            logger.warning("phone page: %s is refused: %s", _client(request), said)
            return text(said, getattr(error, "status", 409))
        finally:
            if place.find(session.id) is None:
                await session.aclose()
        headers = {**HEADERS, "Location": f"/whip/{session.id}"}
        if secret is not None:
            headers[SESSION_HEADER] = secret
        return Response(answer, 201, headers, media_type="application/sdp")

    async def _end(self, request: Request) -> Response:
        found = self._find(_bearer(request))
        if found is None:
            return await self._refuse(request)
        session = found[0].find(request.path_params["session"])
        if session is None:
            return text("no such session", 404)
        await session.aclose()
        return text("ended")

    async def _problem(self, request: Request) -> Response:
        found = self._find(_bearer(request))
        if found is None:
            return await self._refuse(request)
        body = await read_body(request, MOST_OFFER_BYTES)
        sentence = PROBLEMS.get((body or b"").decode("utf-8", "replace"))
        if sentence is None:
            return text(f"name a problem: {', '.join(PROBLEMS)}", 400)
        logger.warning("%s: the phone sends no picture: %s", found[0].name, sentence)
        return text(sentence)

    def _find(self, given: str) -> tuple[PhonePlace, str] | None:
        """The place that a secret is for, and who comes with it."""
        found = [(each, each.admits(given)) for each in self._places.values()]
        return next(((place, owner) for place, owner in found if owner is not None), None)

    async def _refuse(self, request: Request) -> Response:
        given = _bearer(request)
        used = any(each.is_void(given) for each in self._places.values())
        logger.warning(
            "phone page: %s gave %s; it is refused",
            _client(request),
            "a link that was used" if used else "a wrong code",
        )
        await asyncio.sleep(PENALTY_SECONDS)
        if used:
            return text(
                "this link was used by another browser; start egomon again for a new one", 403
            )
        return text("this link is not the one that egomon shows now; scan its code again", 403)


def _bearer(request: Request) -> str:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else ""


def _client(request: Request) -> str:
    return "somebody" if request.client is None else request.client.host


def _page() -> tuple[str, str]:
    """The page, and its content policy: only its own script runs."""
    folder = files("egomon.stream").joinpath("sources", "webrtc", "assets")
    page, style, script = (
        folder.joinpath(name).read_text(encoding="utf-8")
        for name in ("phone.html", "phone.css", "phone.js")
    )
    policy = (
        f"default-src 'none'; style-src {hash_source(style)}; script-src {hash_source(script)}; "
        "connect-src 'self'; img-src data:; media-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return page.replace("{{style}}", style).replace("{{script}}", script), policy
