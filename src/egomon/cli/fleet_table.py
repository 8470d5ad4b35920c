"""The table of `egomon fleet`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.live import Live
from rich.table import Table

from egomon.cli.printing import plain_console
from egomon.fusion.transport.fleet import Fleet, FleetRow
from egomon.fusion.transport.mqtt_subscriber import MqttSubscriber
from egomon.fusion.transport.subscriber_events import Stale
from egomon.view.words import clean

REFRESH_SECONDS = 1.0


def print_fleet(rows: Sequence[FleetRow]) -> None:
    """Print the table once."""
    console = plain_console()
    console.print(_table(rows) if rows else "no monitor has published on this broker")


def watch_fleet(fleet: Fleet, subscriber: MqttSubscriber) -> None:
    """Show the table until it is interrupted."""
    with Live(
        _table(fleet.rows(datetime.now(UTC))), console=plain_console(), auto_refresh=False
    ) as live:
        while True:
            event = subscriber.receive(REFRESH_SECONDS)
            if event is not None and not isinstance(event, Stale):
                fleet.add(event)
            live.update(_table(fleet.rows(datetime.now(UTC))), refresh=True)


def _table(rows: Sequence[FleetRow]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("site", "source", "state", "heard", "open", "version", "bundle"):
        table.add_column(column, overflow="fold")
    now = datetime.now(UTC)
    for row in rows:
        state = f"{row.state}, {row.mode}" if row.degraded else row.state
        shown = (row.site, row.source, state, _age(row.heard, now), str(row.open_alerts))
        table.add_row(*map(clean, (*shown, row.version, row.bundle)))
    return table


def _age(heard: str, now: datetime) -> str:
    """How long ago an ISO 8601 time was; the text itself where it is none."""
    try:
        seconds = (now - datetime.fromisoformat(heard)).total_seconds()
    except (ValueError, TypeError):
        return heard or "-"
    if seconds < 120:
        return f"{max(0, seconds):.0f} s ago"
    return f"{seconds / 60:.0f} min ago" if seconds < 7200 else heard[:16].replace("T", " ")
