"""The event store of a run."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from egomon.config import Settings
from egomon.errors import DamagedStoreError, StoreError
from egomon.fusion.store.events import EventStore, Retention

logger = logging.getLogger(__name__)

MEMORY = "none"
FILE_NAME = "events.sqlite"
PATIENCE_SECONDS = 0.5
"""Longest wait of a live alert for the disk."""
SQLITE_HEADER = b"SQLite format 3\0"


def store_path(settings: Settings, *, live: bool) -> Path | None:
    """Return the store's file; None = memory only, the default of a replay."""
    path = settings.store.path
    if path == MEMORY:
        return None
    if path is not None:
        return Path(path)
    if not live:
        return None
    import platformdirs

    return Path(platformdirs.user_data_dir("egomon")) / FILE_NAME


def open_event_store(settings: Settings, *, live: bool) -> EventStore:
    """Open the store of a run; a live one whose file is damaged sets it aside and begins anew.

    Raises:
        StoreError: it cannot be opened.
    """
    path = store_path(settings, live=live)
    patience = PATIENCE_SECONDS if live else None

    def opened() -> EventStore:
        return EventStore(path, retention=retention(settings), patience_seconds=patience)

    try:
        return opened()
    except DamagedStoreError as error:
        if not live or path is None or not _was_store(path):
            raise
        aside = _set_aside(path)
        logger.error("%s; it is kept as %s, and alerts go on in a new one", error, aside)
        return opened()


def _was_store(path: Path) -> bool:
    """Return whether the damaged file was a store: another file of the user stays where it is."""
    with path.open("rb") as file:
        return path.name == FILE_NAME or file.read(len(SQLITE_HEADER)) == SQLITE_HEADER


def _set_aside(path: Path) -> Path:
    aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    try:
        path.rename(aside)
        for ending in ("-wal", "-shm"):  # they belong to the old file
            Path(f"{path}{ending}").unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"{path} is damaged and cannot be set aside ({error.strerror}); move it away, or give "
            "another path with --store"
        ) from error
    return aside


def retention(settings: Settings) -> Retention:
    """Convert settings to the store's retention."""
    return Retention(max_age_days=settings.store.keep_days, max_bytes=settings.store.max_mb << 20)
