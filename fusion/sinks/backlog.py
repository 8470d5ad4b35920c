"""What a sink has not delivered yet, read from the store; its cursor lies beside the store."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec

from egomon.errors import ConfigError, StoreError
from egomon.fusion.store.retention import EVENT_COLUMNS
from egomon.fusion.store.tables import StoredEvent

logger = logging.getLogger(__name__)

MAX_BOOTS = 64
"""Former runs whose rest is remembered; what is older is given up."""
# So many at once: the event store is not locked while a slow sink sends them.
CHUNK = 256
# The store's writer holds it for milliseconds; longer is a disk at its limit.
BUSY_SECONDS = 5.0
_NEXT = (
    f"SELECT {EVENT_COLUMNS} FROM events WHERE boot = ? AND seq > ? AND seq < ?"
    f" ORDER BY seq LIMIT {CHUNK}"
)
# The largest integer of SQLite.
_NO_END = (1 << 63) - 1


class Backlog:
    """The undelivered events of one sink, of this run and of former ones that had the same sink.

    The cursor file holds, for each run that is not done, its boot and the `seq` of the last event
    that was delivered. A second process with the same sink and store works without a cursor.
    Used by the sink's own thread.

    Args:
        store: file of the event store.
        reference: the sink, without secrets: the name of the cursor is made from it.
        ordinal: number among the sinks of a run with the same name.
        boot: this run.
    """

    def __init__(self, store: Path, reference: str, ordinal: int, boot: str) -> None:
        name = f"{reference} {ordinal}"
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self._path = Path(f"{store}-sink-{digest}")
        self._store, self._boot = store, boot
        self._db: sqlite3.Connection | None = None
        self._file: int | None = None
        self._cursors = {boot: 0}

    def open(self) -> Self:
        """Read the cursor, and keep other processes from it.

        Raises:
            ConfigError: its file cannot be opened.
        """
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(
                f"cannot open {self._path}, which remembers what a sink has delivered: "
                f"{error.strerror}; give another --store"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            logger.warning(
                "another monitor with this store has the same sink: what cannot be delivered in "
                "this run is not kept for the next"
            )
            self.close()
            return self
        self._cursors = {**dict(_read(self._file)[1 - MAX_BOOTS :]), self._boot: 0}
        self._write()
        return self

    @property
    def is_kept(self) -> bool:
        """False where another process has the cursor."""
        return self._file is not None

    def former(self) -> Iterator[StoredEvent]:
        """Events of former runs, in their order; a run is forgotten when nothing of it is left.

        Raises:
            StoreError: the store cannot be read.
        """
        for boot in [boot for boot in self._cursors if boot != self._boot]:
            yield from self._after(boot, _NO_END)
            del self._cursors[boot]
            self._write()

    def missed(self, before_seq: int | None) -> Iterator[StoredEvent]:
        """Events of this run after the last delivered one and before `before_seq`; None = all.

        Raises:
            StoreError: the store cannot be read.
        """
        return self._after(self._boot, _NO_END if before_seq is None else before_seq)

    def delivered(self, boot: str, seq: int) -> None:
        """Move the cursor of a run."""
        self._cursors[boot] = seq
        self._write()

    def close(self) -> None:
        """Release file, lock and database; idempotent."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._db is not None:
            self._db.close()
            self._db = None

    def _after(self, boot: str, before_seq: int) -> Iterator[StoredEvent]:
        seq = self._cursors[boot]
        while True:
            try:
                rows = self._connected().execute(_NEXT, (boot, seq, before_seq)).fetchall()
            except sqlite3.Error as error:
                raise StoreError(
                    f"cannot read from {self._store} what a sink missed: {error}; "
                    "the next run tries again"
                ) from error
            for row in rows:
                yield StoredEvent(*row)
                seq = row[1]
            if len(rows) < CHUNK:
                return

    def _connected(self) -> sqlite3.Connection:
        if self._db is None:
            uri = f"{self._store.absolute().as_uri()}?mode=ro"
            self._db = sqlite3.connect(uri, timeout=BUSY_SECONDS, uri=True)
        return self._db

    def _write(self) -> None:
        """In place and in one call, so that a killed process leaves the old or the new state."""
        if self._file is None:
            return
        try:
            os.pwrite(self._file, msgspec.json.encode(list(self._cursors.items())) + b"\n", 0)
        except OSError as error:
            logger.error("cannot note what a sink has delivered: %s", error.strerror)


def _read(file: int) -> list[tuple[str, int]]:
    line = os.pread(file, 64 << 10, 0).partition(b"\n")[0]
    try:
        return msgspec.json.decode(line, type=list[tuple[str, int]]) if line else []
    except (msgspec.DecodeError, UnicodeDecodeError):
        logger.error("a sink's cursor is damaged: what former runs left is not delivered")
        return []
