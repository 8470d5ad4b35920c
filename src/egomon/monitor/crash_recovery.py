"""Alerts that a crashed run left open are closed by the next start."""

from __future__ import annotations

import msgspec

from egomon.fusion.event_publisher import EventPublisher
from egomon.fusion.messages.types import Previous
from egomon.fusion.store.events import EventStore


def close_orphans(store: EventStore, publisher: EventPublisher) -> int:
    """Publish one `end` (`monitor_restarted`) for each alert that is still open in the store."""
    orphans = store.open_alerts()
    for _, alert in orphans:
        closed = msgspec.structs.replace(
            alert,
            rev=alert.rev + 1,
            phase="end",
            state="closed",
            reason="monitor_restarted",
            media_end=alert.segment.media_end,
            prev=Previous(state=alert.state, p=alert.p),
        )
        publisher.emit(alert.source, closed)
    return len(orphans)
