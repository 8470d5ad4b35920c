"""Tables and rows of the event store, and opening of its database; `events.py` uses them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from egomon.errors import DamagedStoreError, StoreError
from egomon.fusion.messages.envelope import decode_data, decode_envelope
from egomon.fusion.messages.types import AlertData

USER_VERSION = 1
KEPT_KINDS = frozenset({"alert", "segment", "status", "gap"})
"""Heartbeats and statistics are superseded within a second, so they are not kept."""

_TABLES = """
CREATE TABLE boots (
  boot TEXT PRIMARY KEY, started_wall_ns INTEGER NOT NULL, sources TEXT NOT NULL,
  after_id INTEGER NOT NULL, pruned_seq INTEGER NOT NULL DEFAULT 0);
CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT, boot TEXT NOT NULL, seq INTEGER NOT NULL,
  tseq INTEGER NOT NULL, topic TEXT NOT NULL, kind TEXT NOT NULL, wall_ns INTEGER NOT NULL,
  alert_id TEXT, envelope BLOB NOT NULL, UNIQUE (boot, seq));
CREATE INDEX events_alert ON events (alert_id) WHERE alert_id IS NOT NULL;
CREATE TABLE alerts (
  alert_id TEXT PRIMARY KEY, boot TEXT NOT NULL, source TEXT NOT NULL, rev INTEGER NOT NULL,
  phase TEXT NOT NULL, first_wall_ns INTEGER NOT NULL, last_wall_ns INTEGER NOT NULL,
  data BLOB NOT NULL, keep INTEGER NOT NULL DEFAULT 0, acked_by TEXT, acked_wall_ns INTEGER);
CREATE INDEX alerts_open ON alerts (phase) WHERE phase IN ('new', 'update');
CREATE INDEX alerts_time ON alerts (last_wall_ns);
CREATE TABLE feedback (
  id INTEGER PRIMARY KEY AUTOINCREMENT, alert_id TEXT NOT NULL, verdict TEXT NOT NULL,
  note TEXT NOT NULL, wall_ns INTEGER NOT NULL);
CREATE INDEX feedback_alert ON feedback (alert_id);
CREATE TABLE media (
  path TEXT PRIMARY KEY, alert_id TEXT NOT NULL, nbytes INTEGER NOT NULL,
  expires_wall_ns INTEGER NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One numbered message as it goes on the wire, attachments aside."""

    boot: str
    seq: int
    tseq: int
    topic: str
    kind: str
    wall_ns: int
    envelope: bytes
    """JSON of a `wire.Envelope`."""


@dataclass(frozen=True, slots=True)
class AlertRow:
    """The latest revision of one alert, with acknowledgement and feedback."""

    boot: str
    source: str
    data: AlertData
    first_wall_ns: int
    last_wall_ns: int
    acked_by: str | None = None
    acked_wall_ns: int | None = None
    verdict: str | None = None
    """Latest feedback: `true`, `false` or `unsure`."""
    note: str | None = None


@dataclass(frozen=True, slots=True)
class FeedbackRow:
    """One verdict of a person on one alert; several may follow each other."""

    alert_id: str
    verdict: str
    note: str
    wall_ns: int
    alert: AlertData | None
    """Latest revision; None where the alert is no longer stored."""


@dataclass(frozen=True, slots=True)
class MediaRow:
    """A picture or clip on disk that belongs to an alert."""

    path: str
    alert_id: str
    nbytes: int
    expires_wall_ns: int


def open_database(
    path: str | Path | None, busy_seconds: float, *, write: bool = True
) -> sqlite3.Connection:
    """Open or create the database in WAL mode; None opens one in memory.

    Without `write` an existing file is opened, and neither it nor its folder need be writable.

    `synchronous=NORMAL` writes each commit to the kernel before `append` returns: a killed
    process loses nothing, since the page cache outlives it. Only a power cut can lose the last
    commits, and never corrupts the file; FULL would cost an fsync for each alert.

    Raises:
        StoreError: missing and only to be read, unreadable, not a database, locked, or written
            by a newer egomon.
    """
    if path is not None and not write and not Path(path).exists():
        raise StoreError(
            f"there is no event store at {path}; give --store the path that the monitor uses"
        )
    try:
        if path is not None and write:
            _create_private(Path(path))
        connection = _connect(path, busy_seconds, write=write)
    except (OSError, sqlite3.Error) as error:
        raise _cannot_open(path, error) from error
    try:
        _check_version(connection, path, empty_is_wrong=not write)
        if write:
            _prepare(connection)
        # 256 kB of pages; the usual 2 MB would fill in the first hours and is hardly ever read.
        connection.execute("PRAGMA cache_size = -256")
    except sqlite3.Error as error:
        connection.close()
        raise _cannot_open(path, error) from error
    except StoreError:
        connection.close()
        raise
    return connection


def _connect(path: str | Path | None, busy_seconds: float, *, write: bool) -> sqlite3.Connection:
    def opened(name: str) -> sqlite3.Connection:
        return sqlite3.connect(
            name,
            timeout=busy_seconds,
            isolation_level=None,
            check_same_thread=False,
            uri=name.startswith("file:"),
        )

    if path is None:
        return opened(":memory:")
    uri = Path(path).absolute().as_uri()
    if write:
        return opened(uri)
    connection = opened(f"{uri}?mode=ro")
    try:
        connection.execute("PRAGMA schema_version")
    except sqlite3.OperationalError:
        connection.close()
        # SQLite cannot make its shared memory in a folder without the right to write. Where no
        # program has left unmerged writes, the file alone is complete.
        wal = Path(f"{path}-wal")
        if wal.exists() and wal.stat().st_size:
            raise
        connection = opened(f"{uri}?immutable=1")
    return connection


def _create_private(path: Path) -> None:
    """Create the file for its owner only: alerts tell what a person did."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _check_version(
    connection: sqlite3.Connection, path: str | Path | None, *, empty_is_wrong: bool
) -> None:
    version = _version(connection)
    if version == 0 and empty_is_wrong:
        raise StoreError(f"{path} is no event store; give --store the path that the monitor uses")
    if version not in (0, USER_VERSION):
        raise StoreError(
            f"the event store {path} has version {version}, this egomon knows {USER_VERSION}; "
            "use a newer egomon or another --store"
        )


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _prepare(connection: sqlite3.Connection) -> None:
    new = _version(connection) == 0
    if new:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    if new:
        connection.executescript(
            f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {USER_VERSION}; COMMIT;"
        )
    # Stores of before lack it; looked for first, since to ask for it again takes the write lock.
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'events_topic'").fetchone():
        connection.execute("CREATE INDEX events_topic ON events (topic)")


def _cannot_open(path: str | Path | None, error: Exception) -> StoreError:
    # SQLITE_CORRUPT and SQLITE_NOTADB; a locked or read-only file is an OperationalError.
    damaged = type(error) is sqlite3.DatabaseError
    return (DamagedStoreError if damaged else StoreError)(
        f"cannot open the event store {path}: {error}; give another path with --store, "
        "or move the file away to start a new one"
    )


def alert_in(event: StoredEvent) -> AlertData | None:
    """Read the alert revision of an event; None if it has none.

    Raises:
        WireError: the event says it is an alert and is not.
    """
    if event.kind != "alert":
        return None
    data = decode_data("alert", decode_envelope(event.envelope).data)
    return data if isinstance(data, AlertData) else None


ALERT_SELECT = """
SELECT a.boot, a.source, a.data, a.first_wall_ns, a.last_wall_ns, a.acked_by, a.acked_wall_ns,
       f.verdict, f.note
FROM alerts a LEFT JOIN feedback f
  ON f.id = (SELECT max(id) FROM feedback WHERE alert_id = a.alert_id) """


def alert_row(row: Sequence[Any]) -> AlertRow:
    """Convert a row of `ALERT_SELECT`."""
    boot, source, data, *rest = row
    return AlertRow(boot, source, alert_data(data), *rest)


def alert_data(body: bytes) -> AlertData:
    """The alert in a stored body."""
    return cast(AlertData, decode_data("alert", body))


def source_of(topic: str) -> str:
    """Source name in a topic.

    >>> source_of("egomon/1/cam0/alert/")
    'cam0'
    """
    return topic.split("/")[2]
