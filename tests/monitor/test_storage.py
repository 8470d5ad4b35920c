"""A damaged store at the start does not keep a camera unwatched, and is not thrown away."""

from __future__ import annotations

from pathlib import Path

import pytest

from egomon.config import load_settings
from egomon.errors import DamagedStoreError
from egomon.fusion.store.events import EventStore
from egomon.monitor.storage import open_event_store


def open_at(path: Path, *, live: bool = True) -> EventStore:
    return open_event_store(load_settings(None, {"store": {"path": str(path)}}), live=live)


def damaged(path: Path, *, header: bytes = b"SQLite format 3\0") -> bytes:
    path.write_bytes(header + b"\xa5" * 8192)
    return path.read_bytes()


@pytest.mark.parametrize("header", [b"SQLite format 3\0", b"the header is gone too"])
def test_a_live_run_sets_a_damaged_store_aside_and_says_where(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, header: bytes
) -> None:
    path = tmp_path / "events.sqlite"
    before = damaged(path, header=header)
    (tmp_path / "events.sqlite-wal").write_bytes(b"of the old file")
    with open_at(path) as store:
        store.begin(boot="b", sources=("cam0",), started_wall_ns=1)
        assert store.last_boot() == "b"
    (aside,) = tmp_path.glob("events.sqlite.damaged-*")
    assert aside.read_bytes() == before
    assert aside.name in caplog.text


def test_a_replay_and_a_file_that_never_was_a_store_are_left_alone(tmp_path: Path) -> None:
    path, notes = tmp_path / "events.sqlite", tmp_path / "notes.txt"
    damaged(path)
    damaged(notes, header=b"my notes of a year")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DamagedStoreError, match=r"events\.sqlite"):
        open_at(path, live=False)
    with pytest.raises(DamagedStoreError, match=r"notes\.txt"):
        open_at(notes)
    assert sorted(tmp_path.iterdir()) == before
