"""The event store: events are on disk before they are published (stdlib sqlite3, WAL).

One `EventStore` may be used from several threads; each call is one short transaction.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self, get_args

from egomon.errors import StoreError
from egomon.fusion.messages.types import AlertData
from egomon.fusion.store.process_lock import RunningBoots
from egomon.fusion.store.retention import EVENT_COLUMNS as COLUMNS
from egomon.fusion.store.retention import NEW_BOOT, SINCE, Retention, insert_event, prune_events
from egomon.fusion.store.tables import (
    ALERT_SELECT,
    KEPT_KINDS,
    AlertRow,
    FeedbackRow,
    MediaRow,
    StoredEvent,
    alert_data,
    alert_in,
    alert_row,
    open_database,
)

__all__ = ["AlertRow", "EventStore", "FeedbackRow", "MediaRow", "Retention", "StoredEvent"]

FeedbackVerdict = Literal["true", "false", "unsure"]


class EventStore:
    """Events, alerts, feedback and media of every boot.

    Args:
        path: database file, parents are created; None keeps everything in memory.
        retention: limits that `prune` applies.
        busy_seconds: longest wait for another process that is writing.
        create: make a missing file; readers pass False, so that a wrong path is an error.

    Raises:
        StoreError: the file cannot be opened; the message says why.
    """

    def __init__(
        self,
        path: str | Path | None,
        *,
        retention: Retention | None = None,
        busy_seconds: float = 0.25,
        create: bool = True,
    ) -> None:
        self.boot = ""
        self.lost = 0
        """Number of events lost because the disk refused them for too long."""
        self._path = path
        self.retention = retention or Retention()
        """May be changed while in use."""
        self._busy_ms = int(busy_seconds * 1000)
        self._failing = False
        self._lock = threading.RLock()
        self._waiting: deque[tuple[StoredEvent, AlertData | None]] = deque()
        self._db = open_database(path, busy_seconds, create=create)
        self._alive = RunningBoots(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write waiting events, if the disk accepts them, and close; idempotent."""
        with self._lock:
            try:
                self.append(())
            except StoreError:
                self.lost += len(self._waiting)
                self._waiting.clear()
            self._db.close()
            self._alive.close()

    @property
    def waiting(self) -> int:
        """Number of events in memory that the disk has refused so far."""
        return len(self._waiting)

    def begin(self, *, boot: str, sources: Sequence[str], started_wall_ns: int) -> None:
        """Record the start of a publisher; events of this boot follow."""
        with self._write("record the start") as db:
            row = db.execute(NEW_BOOT, (boot, started_wall_ns, json.dumps([*sources]))).lastrowid
        self._alive.claim(row or 0)
        self.boot = boot

    def append(self, events: Sequence[StoredEvent]) -> None:
        """Commit events in one transaction; heartbeats and statistics are skipped.

        After a failure the events wait in memory (at most `Retention.max_waiting`) and are
        written, in order, by the next `append` that succeeds.

        Raises:
            StoreError: the disk is full, or another process holds the lock.
        """
        with self._lock:
            self._waiting += [(e, alert_in(e)) for e in events if e.kind in KEPT_KINDS]
            if not self._waiting:
                return
            try:
                with self._write("store events") as db:
                    for event, alert in self._waiting:
                        insert_event(db, event, alert)
            except StoreError:
                # A locked database must cost an alert its wait once, not each time.
                self._db.execute("PRAGMA busy_timeout = 0")
                self._failing = True
                while len(self._waiting) > self.retention.max_waiting:
                    self._waiting.popleft()
                    self.lost += 1
                raise
            self._waiting.clear()
            if self._failing:
                self._db.execute(f"PRAGMA busy_timeout = {self._busy_ms}")
                self._failing = False

    def last_boot(self) -> str | None:
        """Return the newest boot; None in an empty store."""
        rows = self._all("SELECT boot FROM boots ORDER BY started_wall_ns DESC LIMIT 1")
        return str(rows[0][0]) if rows else None

    def covers(self, boot: str, seq: int) -> bool:
        """Return whether every stored event after `(boot, seq)` is still there."""
        rows = self._all("SELECT pruned_seq FROM boots WHERE boot = ?", (boot,))
        return bool(rows) and seq >= rows[0][0]

    def since(
        self, boot: str, seq: int, limit: int = 1000, *, prefix: str = ""
    ) -> list[StoredEvent]:
        """Events after `(boot, seq)` in order, those of later boots included.

        Args:
            boot: a boot of this store, the present one or an earlier one.
            seq: last number the caller has seen; 0 asks for all.
            limit: most events returned.
            prefix: only topics that start with it.
        """
        found = [StoredEvent(*row) for row in self._all(SINCE, (boot, seq, prefix, limit))]
        waiting = [e for e, _ in self._waiting if e.boot != boot or e.seq > seq]
        return [*found, *(e for e in waiting if e.topic.startswith(prefix))][:limit]

    def open_alerts(self) -> list[tuple[str, AlertData]]:
        """`(boot, latest revision)` of each alert that was opened and not closed, oldest first.

        Alerts of another monitor that shares this file and is alive are left out.
        """
        others = self._alive.among(self._all("SELECT rowid, boot FROM boots"))
        return [(row.boot, row.data) for row in self.open_rows() if row.boot not in others]

    def open_rows(self) -> list[AlertRow]:
        """List the open alerts of all monitors, with times and feedback."""
        return self._alerts("WHERE a.phase IN ('new', 'update') ORDER BY a.first_wall_ns", ())

    def alerts(self, since_wall_ns: int | None = None, limit: int = 1000) -> list[AlertRow]:
        """Alerts touched at or after `since_wall_ns`, newest first."""
        return self._alerts(
            "WHERE a.last_wall_ns >= ? ORDER BY a.last_wall_ns DESC LIMIT ?",
            (since_wall_ns or 0, limit),
        )

    def alert(self, alert_id: str) -> AlertRow | None:
        """One alert, or None."""
        rows = self._alerts("WHERE a.alert_id = ?", (alert_id,))
        return rows[0] if rows else None

    def revisions(self, alert_id: str) -> list[StoredEvent]:
        """All stored revisions of an alert, oldest first."""
        rows = self._all(
            f"SELECT {COLUMNS} FROM events WHERE alert_id = ? ORDER BY id", (alert_id,)
        )
        return [StoredEvent(*row) for row in rows]

    def ack(self, alert_id: str, by: str, wall_ns: int) -> bool:
        """Note who has seen an alert; False where there is no such alert."""
        with self._write("store the acknowledgement") as db:
            done = db.execute(
                "UPDATE alerts SET acked_by = ?, acked_wall_ns = ?, keep = 1 WHERE alert_id = ?",
                (by, wall_ns, alert_id),
            )
        return done.rowcount == 1

    def feedback(self, alert_id: str, verdict: FeedbackVerdict, note: str, wall_ns: int) -> bool:
        """Note a person's verdict for retraining; False where there is no such alert."""
        if verdict not in get_args(FeedbackVerdict):
            known = ", ".join(get_args(FeedbackVerdict))
            raise StoreError(f"verdict {verdict!r} is not one of: {known}")
        with self._write("store the feedback") as db:
            done = db.execute("UPDATE alerts SET keep = 1 WHERE alert_id = ?", (alert_id,))
            if done.rowcount == 1:
                db.execute(
                    "INSERT INTO feedback (alert_id, verdict, note, wall_ns) VALUES (?, ?, ?, ?)",
                    (alert_id, verdict, note, wall_ns),
                )
        return done.rowcount == 1

    def feedback_rows(self) -> list[FeedbackRow]:
        """All feedback, oldest first."""
        rows = self._all(
            "SELECT f.alert_id, f.verdict, f.note, f.wall_ns, a.data FROM feedback f"
            " LEFT JOIN alerts a USING (alert_id) ORDER BY f.id"
        )
        return [
            FeedbackRow(alert_id, verdict, note, wall_ns, alert_data(data) if data else None)
            for alert_id, verdict, note, wall_ns, data in rows
        ]

    def add_media(self, alert_id: str, path: str, nbytes: int, expires_wall_ns: int) -> None:
        """Note a file that belongs to an alert."""
        with self._write("note a media file") as db:
            db.execute(
                "INSERT OR REPLACE INTO media (path, alert_id, nbytes, expires_wall_ns)"
                " VALUES (?, ?, ?, ?)",
                (path, alert_id, nbytes, expires_wall_ns),
            )

    def media(self, alert_id: str) -> list[MediaRow]:
        """Files of an alert."""
        return self._media("WHERE alert_id = ? ORDER BY path", (alert_id,))

    def expired_media(self, now_wall_ns: int) -> list[MediaRow]:
        """Files past their time whose alert nobody marked; the caller deletes them."""
        return self._media(
            "WHERE expires_wall_ns <= ? AND alert_id NOT IN"
            " (SELECT alert_id FROM alerts WHERE keep = 1) ORDER BY expires_wall_ns",
            (now_wall_ns,),
        )

    def remove_media(self, path: str) -> None:
        """Forget a file that the caller has deleted."""
        with self._write("forget a media file") as db:
            db.execute("DELETE FROM media WHERE path = ?", (path,))

    def prune(self, now_wall_ns: int) -> int:
        """Remove events beyond the retention's age or size, oldest first.

        Returns:
            Number of events removed, at most `Retention.prune_chunk`; call again while not zero.
        """
        with self._lock:
            with self._write("prune") as db:
                removed = prune_events(db, self.retention, now_wall_ns)
            if removed:
                # Python steps a PRAGMA without columns once, and that frees a single page.
                self._db.executescript("PRAGMA incremental_vacuum")
        return removed

    def _alerts(self, where: str, values: Sequence[object]) -> list[AlertRow]:
        return [alert_row(row) for row in self._all(ALERT_SELECT + where, values)]

    def _media(self, where: str, values: Sequence[object]) -> list[MediaRow]:
        columns = "path, alert_id, nbytes, expires_wall_ns"
        return [MediaRow(*row) for row in self._all(f"SELECT {columns} FROM media {where}", values)]

    @contextmanager
    def _write(self, what: str) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                    self._db.execute("COMMIT")
                except BaseException:
                    # SQLite has already rolled back by itself after some errors (disk full).
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise self._failed(what, error) from error

    def _all(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        with self._lock:
            try:
                return self._db.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                raise self._failed("read", error) from error

    def _failed(self, what: str, error: sqlite3.Error) -> StoreError:
        return StoreError(
            f"the event store {self._path or 'in memory'} could not {what}: {error}; "
            "free the disk or close the program that holds it"
        )
