"""The event store: events are on disk before they are published (stdlib sqlite3, WAL).

One `EventStore` may be used from several threads; each call is one short transaction.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar, get_args

from egomon.errors import StoreError
from egomon.fusion.messages.types import AlertData
from egomon.fusion.store.disk_thread import DiskThread
from egomon.fusion.store.process_lock import RunningBoots
from egomon.fusion.store.reader import EventReader
from egomon.fusion.store.retention import NEW_BOOT, Retention, insert_event, prune_events
from egomon.fusion.store.tables import (
    KEPT_KINDS,
    AlertRow,
    FeedbackRow,
    MediaRow,
    StoredEvent,
    alert_in,
    open_database,
)

__all__ = ["AlertRow", "EventStore", "FeedbackRow", "MediaRow", "Retention", "StoredEvent"]

T = TypeVar("T")
FeedbackVerdict = Literal["true", "false", "unsure"]

READ_SECONDS = 1.0
"""Longest time of one answer to those who read beside the monitor."""


class EventStore(EventReader):
    """An `EventReader` that also writes.

    Those who read wait for no transaction: they have a connection of their own, and each of their
    answers takes 1 s at most.

    Args:
        path: database file, parents are created; None keeps everything in memory.
        retention: limits that `prune` applies.
        busy_seconds: longest wait for another process that is writing.
        patience_seconds: longest wait of `append` and `prune` for the disk; what takes longer is
            written all the same. None waits as long as it takes.

    Raises:
        StoreError: the file cannot be opened; the message says why.
    """

    def __init__(
        self,
        path: str | Path | None,
        *,
        retention: Retention | None = None,
        busy_seconds: float = 0.25,
        patience_seconds: float | None = None,
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
        self._in_hand = 0  # so many of them are being written
        self._waiting_lock = threading.Lock()
        self._disk: DiskThread | None = None
        if path is not None and patience_seconds is not None:
            self._disk = DiskThread(patience_seconds)
        self._db = open_database(path, busy_seconds)
        self._alive = RunningBoots(path)
        if path is None:
            self._read_from(self._db, self._lock)
        else:
            self._read_from(open_database(path, busy_seconds, write=False), threading.RLock())
            self._bound(READ_SECONDS, time.monotonic)

    def close(self) -> None:
        """Write waiting events, if the disk accepts them, and close; idempotent."""
        if self._disk is not None:
            self._disk.close()
        with self._lock:
            try:
                self._write_waiting()
            except StoreError:
                self.lost += len(self._waiting)
                self._waiting.clear()
            super().close()
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
            StoreError: the disk is full or slow, or another process holds the lock.
        """
        with self._waiting_lock:
            self._waiting += [(e, alert_in(e)) for e in events if e.kind in KEPT_KINDS]
            if not self._waiting:
                return
        try:
            self._on_disk(self._write_waiting)
        except StoreError:
            with self._waiting_lock:
                while len(self._waiting) > self._in_hand + self.retention.max_waiting:
                    del self._waiting[self._in_hand]
                    self.lost += 1
            raise

    def _on_disk(self, work: Callable[[], T]) -> T:
        return work() if self._disk is None else self._disk.run(work)

    def _write_waiting(self) -> None:
        with self._lock:
            while batch := self._batch():
                try:
                    with self._write("store events") as db:
                        for event, alert in batch:
                            insert_event(db, event, alert)
                except StoreError:
                    # A locked database must cost an alert its wait once, not each time.
                    self._db.execute("PRAGMA busy_timeout = 0")
                    self._failing = True
                    self._in_hand = 0
                    raise
                with self._waiting_lock:
                    for _ in batch:
                        self._waiting.popleft()
                    self._in_hand = 0
                if self._failing:
                    self._db.execute(f"PRAGMA busy_timeout = {self._busy_ms}")
                    self._failing = False

    def _batch(self) -> list[tuple[StoredEvent, AlertData | None]]:
        with self._waiting_lock:
            self._in_hand = len(self._waiting)
            return [*self._waiting]

    def since(
        self,
        boot: str,
        seq: int,
        limit: int = 1000,
        *,
        prefix: str = "",
        max_bytes: int | None = None,
    ) -> list[StoredEvent]:
        """See `EventReader.since`; events that the disk has refused so far are among them."""
        with self._waiting_lock:  # before the file: one that is written meanwhile comes twice
            waiting = [event for event, _ in self._waiting]
        found = super().since(boot, seq, limit, prefix=prefix, max_bytes=max_bytes)
        written = {(event.boot, event.seq) for event in found}
        found += (
            event
            for event in waiting
            if (event.boot != boot or event.seq > seq)
            and event.topic.startswith(prefix)
            and (event.boot, event.seq) not in written
        )
        return found[:limit]

    def open_alerts(self) -> list[tuple[str, AlertData]]:
        """`(boot, latest revision)` of each alert that was opened and not closed, oldest first.

        Alerts of another monitor that shares this file and is alive are left out.
        """
        others = self._alive.among(self._all("SELECT rowid, boot FROM boots"))
        return [(row.boot, row.data) for row in self.open_rows() if row.boot not in others]

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

    def add_media(self, alert_id: str, path: str, nbytes: int, expires_wall_ns: int) -> None:
        """Note a file that belongs to an alert."""
        with self._write("note a media file") as db:
            db.execute(
                "INSERT OR REPLACE INTO media (path, alert_id, nbytes, expires_wall_ns)"
                " VALUES (?, ?, ?, ?)",
                (path, alert_id, nbytes, expires_wall_ns),
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
        return self._on_disk(lambda: self._prune(now_wall_ns))

    def _prune(self, now_wall_ns: int) -> int:
        with self._lock:
            with self._write("prune") as db:
                removed = prune_events(db, self.retention, now_wall_ns)
            if removed:
                # Python steps a PRAGMA without columns once, and that frees a single page.
                self._db.executescript("PRAGMA incremental_vacuum")
        return removed

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
