"""Stored events as wire data."""

from __future__ import annotations

from egomon.fusion.store import EventStore
from egomon.fusion.wire import Data, decode_data, decode_envelope

CHUNK = 1000


def last_run(store: EventStore, source: str | None) -> list[tuple[str, Data]]:
    """All events of the newest boot, optionally of one source, oldest first."""
    boot = store.last_boot()
    if boot is None:
        return []
    found: list[tuple[str, Data]] = []
    seq = 0
    while chunk := store.since(boot, seq, CHUNK):
        for event in chunk:
            name = event.topic.split("/")[2]
            if source is None or name == source:
                found.append((name, decode_data(event.kind, decode_envelope(event.envelope).data)))
        if (chunk[-1].boot, chunk[-1].seq) == (boot, seq):
            break
        boot, seq = chunk[-1].boot, chunk[-1].seq
    return found
