"""Row operations of the event store: insert an event, apply the retention."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from egomon.fusion.messages.envelope import encode
from egomon.fusion.messages.types import AlertData
from egomon.fusion.store.tables import StoredEvent, source_of
from egomon.units import NS_PER_SECOND

EVENT_COLUMNS = "boot, seq, tseq, topic, kind, wall_ns, envelope"
NEW_BOOT = (
    "INSERT INTO boots (boot, started_wall_ns, sources, after_id) VALUES (?, ?, ?,"
    " coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0))"
)
_DAY_NS = 86_400 * NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Retention:
    """How long events stay. Alerts that a person marked, and open alerts, stay for ever."""

    max_age_days: float = 30.0
    max_bytes: int = 1 << 30
    max_waiting: int = 10_000
    """Events held in memory while the disk refuses them; more are lost, and counted."""
    prune_chunk: int = 2_000
    """Most events removed in one call, so that pruning never holds up an alert."""


def insert_event(db: sqlite3.Connection, event: StoredEvent, alert: AlertData | None) -> None:
    """Insert one event, and bring its alert up to date; repeating it changes nothing."""
    added = db.execute(
        f"INSERT OR IGNORE INTO events ({EVENT_COLUMNS}, alert_id) VALUES (?,?,?,?,?,?,?,?)",
        (
            *(event.boot, event.seq, event.tseq, event.topic, event.kind),
            *(event.wall_ns, event.envelope, alert and alert.alert_id),
        ),
    ).rowcount
    if alert is None or not added:
        return
    db.execute(
        "INSERT INTO alerts (alert_id, boot, source, rev, phase, first_wall_ns, last_wall_ns, data)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7) ON CONFLICT (alert_id) DO UPDATE SET"
        " rev = excluded.rev, phase = excluded.phase, last_wall_ns = excluded.last_wall_ns,"
        " boot = excluded.boot, data = excluded.data"
        # A replay that runs again gives its alerts the same ids, and opens anew, in a later boot,
        # what the boot before it left closed or that it has closed itself as an orphan.
        " WHERE excluded.rev > alerts.rev OR excluded.boot <> alerts.boot"
        " OR excluded.phase = 'new'",
        (
            *(alert.alert_id, event.boot, source_of(event.topic), alert.rev, alert.phase),
            *(event.wall_ns, encode(alert)),
        ),
    )


def prune_events(db: sqlite3.Connection, retention: Retention, now_wall_ns: int) -> int:
    """Remove the oldest events beyond age or size; returns how many, at most one chunk."""
    oldest_ns = now_wall_ns - int(retention.max_age_days * _DAY_NS)
    # What people said is kept for ever, so it must not push out what they said it about.
    (notes,) = db.execute("SELECT coalesce(sum(length(note)), 0) FROM feedback").fetchone()
    too_big = _used_bytes(db) - notes > retention.max_bytes
    db.execute(
        "CREATE TEMP TABLE IF NOT EXISTS doomed (id INTEGER PRIMARY KEY, boot TEXT, seq INTEGER)"
    )
    db.execute("DELETE FROM doomed")
    db.execute(
        "INSERT INTO doomed SELECT id, boot, seq FROM events e WHERE (wall_ns < ? OR ?)"
        " AND NOT EXISTS (SELECT 1 FROM alerts a WHERE a.alert_id = e.alert_id"
        " AND (a.keep = 1 OR a.phase IN ('new', 'update'))) ORDER BY id LIMIT ?",
        (oldest_ns, too_big, retention.prune_chunk),
    )
    db.execute(
        "UPDATE boots SET pruned_seq = max(pruned_seq, coalesce("
        "(SELECT max(seq) FROM doomed WHERE doomed.boot = boots.boot), 0))"
    )
    removed = db.execute("DELETE FROM events WHERE id IN (SELECT id FROM doomed)").rowcount
    db.execute(
        "DELETE FROM alerts WHERE keep = 0 AND phase IN ('end', 'retract') AND"
        " NOT EXISTS (SELECT 1 FROM events e WHERE e.alert_id = alerts.alert_id)"
    )
    return removed


def _used_bytes(db: sqlite3.Connection) -> int:
    pages, free, size = (
        db.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
