"""Stored events as wire data."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from egomon.fusion.messages.envelope import decode_data, decode_envelope
from egomon.fusion.messages.types import AlertData, Data
from egomon.fusion.store.reader import EventReader


def last_run(store: EventReader, source: str | None) -> list[tuple[str, Data]]:
    """Read the events of the newest boot, optionally of one source, oldest first."""
    return [
        (name, decode_data(event.kind, decode_envelope(event.envelope).data))
        for event in store.last_run()
        if (name := event.topic.split("/")[2]) == source or source is None
    ]


def clip_of(store: EventReader, alert_id: str) -> Path | None:
    """Find the clip that the monitor stored for an alert; None if the file is gone."""
    paths = (Path(row.path) for row in store.media(alert_id))
    return next((path for path in paths if path.suffix == ".mp4" and path.is_file()), None)


def alert_clips(store: EventReader, events: Iterable[tuple[str, Data]]) -> dict[str, Path]:
    """Find the clips whose files still exist, by alert id."""
    ids = {data.alert_id for _, data in events if isinstance(data, AlertData)}
    found = {alert_id: clip_of(store, alert_id) for alert_id in sorted(ids)}
    return {alert_id: path for alert_id, path in found.items() if path is not None}
