"""The event store of a run."""

from __future__ import annotations

from pathlib import Path

from egomon.config import Settings
from egomon.fusion.store.events import EventStore, Retention

MEMORY = "none"
FILE_NAME = "events.sqlite"


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
    """Open the store of a run.

    Raises:
        StoreError: it cannot be opened.
    """
    return EventStore(store_path(settings, live=live), retention=retention(settings))


def retention(settings: Settings) -> Retention:
    """Convert settings to the store's retention."""
    return Retention(max_age_days=settings.store.keep_days, max_bytes=settings.store.max_mb << 20)
