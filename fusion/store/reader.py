"""Reads the event store; opens it without the right to write, beside the monitor that fills it."""

from __future__ import annotations

import heapq
import itertools
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from egomon.errors import StoreError
from egomon.fusion.store.retention import EVENT_COLUMNS as COLUMNS
from egomon.fusion.store.tables import (
    ALERT_SELECT,
    AlertRow,
    FeedbackRow,
    MediaRow,
    StoredEvent,
    alert_data,
    alert_row,
    open_database,
)

# SQLite looks at the clock after this many of its instructions: well below a millisecond.
_STEPS_PER_LOOK = 1000
_START = (
    "SELECT coalesce((SELECT id FROM events WHERE boot = ?1 AND seq <= ?2 ORDER BY seq DESC"
    " LIMIT 1), (SELECT after_id FROM boots WHERE boot = ?1))"
)
# One index seek for each topic, whatever the number of events.
_TOPICS = (
    "WITH RECURSIVE t (topic) AS (SELECT min(topic) FROM events UNION ALL"
    " SELECT (SELECT min(topic) FROM events WHERE topic > t.topic) FROM t WHERE topic IS NOT NULL)"
    " SELECT topic FROM t WHERE topic IS NOT NULL"
)
_IDS = "SELECT id FROM events WHERE topic = ? AND id > ? ORDER BY id LIMIT ?"


class EventReader:
    """Events, alerts, feedback and media of every boot; callable from any thread.

    Args:
        path: database file; it is never written.
        busy_seconds: longest wait for a program that holds the file.
        read_seconds: longest time of one answer; None = as long as it takes.
        clock: monotonic seconds.

    Raises:
        StoreError: the file is missing or cannot be read; the message says why.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        busy_seconds: float = 0.25,
        read_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path: str | Path | None = path
        self._read_from(open_database(path, busy_seconds, write=False), threading.RLock())
        if read_seconds is not None:
            self._bound(read_seconds, clock)

    def _read_from(self, connection: sqlite3.Connection, lock: threading.RLock) -> None:
        self._reads, self._read_lock = connection, lock
        self._bounded: tuple[float, Callable[[], float]] | None = None
        self._deadline = float("inf")

    def _bound(self, seconds: float, clock: Callable[[], float]) -> None:
        self._bounded = seconds, clock
        self._reads.set_progress_handler(lambda: clock() > self._deadline, _STEPS_PER_LOOK)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; idempotent."""
        with self._read_lock:
            self._reads.close()

    def last_boot(self) -> str | None:
        """Return the boot that began last, whatever the clock said; None in an empty store."""
        rows = self._all("SELECT boot FROM boots ORDER BY rowid DESC LIMIT 1")
        return str(rows[0][0]) if rows else None

    def covers(self, boot: str, seq: int) -> bool:
        """Return whether every stored event after `(boot, seq)` is still there."""
        rows = self._all("SELECT pruned_seq FROM boots WHERE boot = ?", (boot,))
        return bool(rows) and seq >= rows[0][0]

    def since(
        self,
        boot: str,
        seq: int,
        limit: int = 1000,
        *,
        prefix: str = "",
        max_bytes: int | None = None,
    ) -> list[StoredEvent]:
        """Events after `(boot, seq)` in order, those of later boots included.

        Args:
            boot: a boot of this store, the present one or an earlier one.
            seq: last number the caller has seen; 0 asks for all.
            limit: most events returned.
            prefix: only topics that start with it.
            max_bytes: end with the event that goes beyond so many bytes of envelopes.
        """
        found: list[StoredEvent] = []
        total = 0
        with self._reading() as db:
            for row in _rows_since(db, boot, seq, limit, prefix):
                found.append(StoredEvent(*row))
                total += len(found[-1].envelope)
                if max_bytes is not None and total > max_bytes:
                    break
        return found

    def last_run(self) -> Iterator[StoredEvent]:
        """Read the events of the newest boot, oldest first."""
        boot = newest = self.last_boot()
        seq = 0
        while boot is not None and (chunk := self.since(boot, seq)):
            # Those of another monitor that shares the store are among them.
            yield from (event for event in chunk if event.boot == newest)
            if (chunk[-1].boot, chunk[-1].seq) == (boot, seq):
                return
            boot, seq = chunk[-1].boot, chunk[-1].seq

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

    def _alerts(self, where: str, values: Sequence[object]) -> list[AlertRow]:
        return [alert_row(row) for row in self._all(ALERT_SELECT + where, values)]

    def _media(self, where: str, values: Sequence[object]) -> list[MediaRow]:
        columns = "path, alert_id, nbytes, expires_wall_ns"
        return [MediaRow(*row) for row in self._all(f"SELECT {columns} FROM media {where}", values)]

    def _all(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        with self._reading() as db:
            return db.execute(sql, values).fetchall()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._read_lock:
            if self._bounded is not None:
                seconds, clock = self._bounded
                self._deadline = clock() + seconds
            try:
                yield self._reads
            except sqlite3.Error as error:
                raise self._failed("read", error) from error

    def _failed(self, what: str, error: sqlite3.Error) -> StoreError:
        return StoreError(
            f"the event store {self._path or 'in memory'} could not {what}: {error}; "
            "free the disk or close the program that holds it"
        )


def _rows_since(
    db: sqlite3.Connection, boot: str, seq: int, limit: int, prefix: str
) -> Iterator[Any]:
    """Rows of `EVENT_COLUMNS`; reads no more of them than it gives, whatever the prefix."""
    (start,) = db.execute(_START, (boot, seq)).fetchone()
    if start is None:
        return
    topics = [topic for (topic,) in db.execute(_TOPICS)] if prefix else []
    wanted = [topic for topic in topics if topic.startswith(prefix)]
    if wanted == topics:
        query = f"SELECT {COLUMNS} FROM events WHERE id > ? ORDER BY id LIMIT ?"
        yield from db.execute(query, (start, limit))
        return
    numbers = heapq.merge(*(db.execute(_IDS, (topic, start, limit)) for topic in wanted))
    for number in itertools.islice(numbers, limit):
        yield from db.execute(f"SELECT {COLUMNS} FROM events WHERE id = ?", number)
