"""What a broker knows of each monitor: folded from retained messages and what comes after."""

from __future__ import annotations

from datetime import datetime

import msgspec

from egomon.fusion.messages.types import AlertData, StatsData, StatusData
from egomon.fusion.transport.mqtt_subscriber import Presence, SiteMessage
from egomon.fusion.transport.subscriber_events import Gap
from egomon.text import printable

FLEET_KINDS = ("alert", "segment", "status", "stats", "gap")
# Names come from the network: whoever makes them up must not fill the memory.
MOST_SOURCES = 10_000
SILENT_SECONDS = 60.0
"""A monitor that runs says something every ten seconds."""
_OPEN = ("new", "update")


class FleetRow(msgspec.Struct):
    """One source of one monitor."""

    site: str
    source: str
    state: str = "unknown"
    """As in the status; `offline` where the broker lost the monitor, `silent` where nothing has
    come for a minute though it should."""
    mode: str = ""
    degraded: bool = False
    heard: str = ""
    """ISO 8601 time of the newest message; a monitor that runs sends one each ten seconds."""
    open_alerts: int = 0
    version: str = ""
    bundle: str = ""
    """`name@hash` once there was an alert, else as the monitor was told."""
    boot: str = ""


class _Monitor(msgspec.Struct):
    version: str = ""
    bundle: str = ""
    boot: str = ""
    sources: tuple[str, ...] = ()


class Fleet:
    """The rows; bounded, since anybody may publish on a broker."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], FleetRow] = {}
        self._monitors: dict[tuple[str, str], _Monitor] = {}
        self._online: dict[tuple[str, str], bool] = {}

    def add(self, event: SiteMessage | Presence | Gap) -> None:
        """Take note of what has come."""
        if isinstance(event, SiteMessage):
            self._message(event)
        elif isinstance(event, Presence) and len(self._online) < MOST_SOURCES:
            if event.kind == "availability":
                self._online[event.site, event.source] = event.payload == b"online"
            else:
                try:
                    said = msgspec.json.decode(event.payload, type=_Monitor)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    return
                self._monitors[event.site, event.source] = said

    def rows(self, now: datetime) -> list[FleetRow]:
        """All sources by site and name.

        Args:
            now: with a time zone; clocks of the monitors should be right to half a minute.
        """
        rows = {key: msgspec.structs.replace(row) for key, row in self._rows.items()}
        # A monitor of several sources says who it is under the name of the first one.
        for (site, first), said in self._monitors.items():
            for source in said.sources or (first,):
                row = rows.setdefault((site, source), FleetRow(site=site, source=source))
                row.version, row.boot = printable(said.version), printable(said.boot)
                row.bundle = row.bundle or printable(said.bundle)
                if not self._online.get((site, first), True) and row.state != "ended":
                    row.state = "offline"
        for row in rows.values():
            if row.state not in ("offline", "ended") and _age_seconds(row, now) > SILENT_SECONDS:
                row.state = "silent"  # killed together with its broker, which cannot tell it
        return [rows[key] for key in sorted(rows)]

    def _message(self, message: SiteMessage) -> None:
        key = message.site, message.source
        if key not in self._rows and len(self._rows) >= MOST_SOURCES:
            return
        row = self._rows.setdefault(key, FleetRow(site=message.site, source=message.source))
        row.heard = max(row.heard, message.envelope.time)
        data = message.data
        if isinstance(data, StatusData):
            row.state, row.mode, row.degraded = data.source_state, data.mode, data.degraded
        elif isinstance(data, AlertData):
            row.open_alerts = int(data.phase in _OPEN)
            row.bundle = data.model
        elif isinstance(data, StatsData):
            row.open_alerts = data.alerts_open


def _age_seconds(row: FleetRow, now: datetime) -> float:
    try:
        return (now - datetime.fromisoformat(row.heard)).total_seconds()
    except (ValueError, TypeError):  # nothing was heard yet, or somebody else's text
        return 0.0
