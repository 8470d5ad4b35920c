"""`--device phone`: the links are shown before the run, and the phones are told its alerts."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from egomon.fusion.messages.types import AlertData, Data
from egomon.stream.sources.open import PHONE, find_source

if TYPE_CHECKING:
    from egomon.config import Settings
    from egomon.monitor import SourceRequest
    from egomon.stream.sources.webrtc.place import PhonePlace
    from egomon.stream.sources.webrtc.server import PhoneServer


class Phones:
    """The phones of a run, of which there may be none; their page is up until `__exit__`.

    Args:
        requests: all sources of the run.
        settings: of the page.
        quiet: draw no code.

    Raises:
        AddressInUseError: the port is taken.
        ConfigError: the address or the certificate cannot be used.
        MissingExtraError: the extra is not installed.
    """

    def __init__(
        self, requests: Sequence[SourceRequest], settings: Settings, *, quiet: bool
    ) -> None:
        self.requests = list(requests)
        """As given; those that are phones with the port that was found."""
        self._places: dict[str, PhonePlace] = {}
        self._held = ExitStack()
        for index, request in enumerate(self.requests):
            if request.source is None and find_source(request.reference).name == PHONE:
                self.requests[index] = self._invite(request, settings, with_code=not quiet)

    def _invite(
        self, request: SourceRequest, settings: Settings, *, with_code: bool
    ) -> SourceRequest:
        """Serve the page of a phone, and say on stderr where it is."""
        from egomon.monitor.source_request import source_options
        from egomon.stream.sources.webrtc.server import PhoneServer
        from egomon.stream.sources.webrtc.source import listen_at

        listen = listen_at(request.reference, source_options(settings.source))
        server, place = PhoneServer.place(listen, request.name)
        self._held.callback(server.leave, place)
        self._places[request.name] = place
        sys.stderr.write(invitation(server, place, with_code=with_code))
        sys.stderr.flush()
        return replace(request, reference=f"phone://{listen.host}:{server.port}")

    @property
    def are_awaited(self) -> bool:
        """Whether one of them never came: its code must stay on the screen."""
        return not all(place.was_reached for place in self._places.values())

    def publish(self, source: str, data: Data) -> None:
        """An `EventListener`: a phone is told the alerts of its own picture."""
        place = self._places.get(source)
        if place is not None and isinstance(data, AlertData):
            place.tell(alert_text(data))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()


def alert_text(data: AlertData) -> str:
    """One revision of an alert as the phone's page takes it, JSON."""
    import msgspec

    told = {
        "id": data.alert_id,
        "phase": data.phase,
        "severity": data.severity,
        "text": data.explanation,
    }
    return msgspec.json.encode(told).decode()


def invitation(server: PhoneServer, place: PhonePlace, *, with_code: bool) -> str:
    """What the user needs to connect a phone, with its secrets: for the terminal alone."""
    link = server.link_of(place)
    drawn = io.StringIO()
    if with_code:
        import segno

        segno.make(link, error="l").terminal(drawn, border=2, compact=True)
    return (
        f"{drawn.getvalue()}"
        f"egomon: {place.name}: open {link} on the phone; its browser warns of the certificate, "
        "which this machine made itself\n"
        f"egomon: {place.name}: for OBS or Larix: WHIP {server.url}whip with bearer token "
        f"{place.key}\n"
    )
