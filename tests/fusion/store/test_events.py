from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from wire_station import alert, online

from egomon.errors import StoreError, WireError
from egomon.fusion.messages.types import AlertData, Data, HeartbeatData
from egomon.fusion.store.disk_thread import DiskThread
from egomon.fusion.store.events import EventStore, Retention, StoredEvent
from egomon.fusion.store.reader import EventReader
from egomon.fusion.transport.sequencer import Sequencer

DAY_NS = 86_400 * 10**9


class Numbered:
    """Makes events of one boot, a second apart."""

    def __init__(self, boot: str = "boot-1", start_ns: int = 0) -> None:
        self.now_ns = start_ns
        self.sequencer = Sequencer(boot, "bench", self._tick)

    def _tick(self) -> int:
        self.now_ns += 10**9
        return self.now_ns

    def __call__(self, data: Data, source: str = "cam0") -> StoredEvent:
        return self.sequencer.number(source, data)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "events.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[EventStore]:
    with EventStore(path, busy_seconds=0.05) as opened:
        opened.begin(boot="boot-1", sources=["cam0"], started_wall_ns=1)
        yield opened


def test_events_come_back_as_they_were(store: EventStore) -> None:
    make = Numbered()
    events = [make(alert()), make(online()), make(alert(rev=2, phase="update"))]
    store.append(events)
    assert store.since("boot-1", 0) == events
    assert store.since("boot-1", 1) == events[1:]
    assert store.since("boot-1", 0, limit=2) == events[:2]
    assert store.since("boot-1", 0, prefix="egomon/1/cam0/status/") == [events[1]]
    assert store.revisions("a-1") == [events[0], events[2]]
    assert store.boot == "boot-1"


def test_only_the_owner_can_read_the_file(store: EventStore, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_heartbeats_are_not_kept(store: EventStore) -> None:
    store.append([Numbered()(HeartbeatData(last_seq=0, last_tseq={}))])
    assert store.since("boot-1", 0) == []


def test_storing_an_event_twice_changes_nothing(store: EventStore) -> None:
    event = Numbered()(alert())
    store.append([event])
    store.append([event])
    assert store.since("boot-1", 0) == [event]


def test_since_answers_across_a_restart(path: Path) -> None:
    first, second = Numbered("boot-1"), Numbered("boot-2")
    with EventStore(path) as store:
        store.begin(boot="boot-1", sources=["cam0"], started_wall_ns=1)
        old = [first(alert("a-1")), first(alert("a-2"))]
        store.append(old)
    with EventStore(path) as store:
        store.begin(boot="boot-2", sources=["cam0"], started_wall_ns=2)
        new = [second(alert("a-3"))]
        store.append(new)
        assert store.since("boot-1", 1) == [old[1], *new]
        assert store.since("boot-2", 0) == new
        assert store.covers("boot-1", 0)
        assert not store.covers("boot-0", 0)


def test_the_last_run_is_the_one_that_began_last_whatever_the_clock_said(
    store: EventStore,
) -> None:
    store.begin(boot="boot-2", sources=["cam0"], started_wall_ns=0)
    assert store.last_boot() == "boot-2"


def test_since_of_a_topic_reads_nothing_of_the_others(store: EventStore) -> None:
    """A quarter of a million events of another source once held up alerts for 29 s."""
    make = Numbered()
    store.append([make(online()) for _ in range(5_000)])
    store.append([make(alert(), source="cam1")])
    steps: list[int] = []
    store._reads.set_progress_handler(lambda: steps.append(1), 100)
    found = store.since("boot-1", 0, prefix="egomon/1/cam1/")
    assert [event.seq for event in found] == [5_001]
    assert store.since("boot-1", 4_999, prefix="egomon/1/cam7/") == []
    assert len(store.since("boot-1", 4_990, prefix="egomon/1/")) == 11
    assert len(steps) < 20


def test_an_answer_that_takes_too_long_is_given_up(store: EventStore, path: Path) -> None:
    make, ticks = Numbered(), iter(range(10**9))
    store.append([make(online()) for _ in range(5_000)])
    clock = ticks.__next__
    with EventReader(path, read_seconds=1.5, clock=lambda: float(clock())) as reader:
        assert len(reader.since("boot-1", 4_900)) == 100
        with pytest.raises(StoreError, match="interrupted"):
            reader.since("boot-1", 0, limit=5_000)


def test_a_store_is_read_without_the_right_to_write(store: EventStore, path: Path) -> None:
    store.append([Numbered()(alert())])
    store.close()
    before = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    with EventReader(path) as reader:
        assert len(reader.alerts()) == 1
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._reads.execute("DELETE FROM events")
    after = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    assert after[path.name] == before[path.name]


def test_a_store_of_before_gets_the_index_of_topics(path: Path) -> None:
    with EventStore(path) as old:
        old._db.execute("DROP INDEX events_topic")
    with EventReader(path) as reader:
        assert reader.since("boot-1", 0) == []
    with EventStore(path) as new:
        plan = new._db.execute("EXPLAIN QUERY PLAN SELECT min(topic) FROM events").fetchall()
    assert "events_topic" in str(plan)


def test_since_finds_later_boots_of_a_boot_that_stored_nothing(path: Path) -> None:
    with EventStore(path) as store:
        store.begin(boot="boot-1", sources=[], started_wall_ns=1)
        store.begin(boot="boot-2", sources=[], started_wall_ns=2)
        event = Numbered("boot-2")(alert())
        store.append([event])
        assert store.since("boot-1", 0) == [event]


def test_open_alerts_are_those_without_a_close(store: EventStore) -> None:
    make = Numbered()
    store.append([make(alert("a-1")), make(alert("a-2")), make(alert("a-3"))])
    store.append([make(alert("a-1", 2, "end")), make(alert("a-3", 2, "update"))])
    assert [(boot, each.alert_id, each.rev) for boot, each in store.open_alerts()] == [
        ("boot-1", "a-2", 1),
        ("boot-1", "a-3", 2),
    ]


def test_the_alerts_of_another_living_monitor_are_not_orphans(path: Path) -> None:
    with EventStore(path) as first, EventStore(path) as second:
        first.begin(boot="boot-1", sources=["cam0"], started_wall_ns=0)
        first.append([Numbered("boot-1")(alert("a-1"))])
        second.begin(boot="boot-2", sources=["cam1"], started_wall_ns=1)
        second.append([Numbered("boot-2")(alert("a-2"))])
        assert [boot for boot, _ in first.open_alerts()] == ["boot-1"]
        assert [boot for boot, _ in second.open_alerts()] == ["boot-2"]
        assert len(second.open_rows()) == 2
        first.close()
        assert [boot for boot, _ in second.open_alerts()] == ["boot-1", "boot-2"]


def test_an_older_revision_never_replaces_a_newer_one(store: EventStore) -> None:
    make = Numbered()
    store.append([make(alert(rev=3, phase="end"))])
    store.append([make(alert(rev=2, phase="update"))])
    row = store.alert("a-1")
    assert row is not None
    assert row.data.rev == 3
    assert store.open_alerts() == []


def test_alerts_are_listed_newest_first_with_what_people_said(store: EventStore) -> None:
    make = Numbered()
    store.append([make(alert("a-1")), make(alert("a-2"), source="cam1")])
    assert store.ack("a-1", "Ada", 7)
    assert store.feedback("a-1", "true", "yes", 8)
    assert store.feedback("a-1", "unsure", "or not", 9)
    assert not store.ack("a-9", "Ada", 7)
    assert not store.feedback("a-9", "true", "", 8)
    newest, older = store.alerts()
    assert (newest.data.alert_id, newest.source, newest.verdict) == ("a-2", "cam1", None)
    assert (older.acked_by, older.acked_wall_ns) == ("Ada", 7)
    assert (older.verdict, older.note) == ("unsure", "or not")
    assert [row.data.alert_id for row in store.alerts(newest.last_wall_ns)] == ["a-2"]
    assert len(store.alerts(limit=1)) == 1
    verdicts = [(row.verdict, row.note, row.alert) for row in store.feedback_rows()]
    assert verdicts == [("true", "yes", alert("a-1")), ("unsure", "or not", alert("a-1"))]
    with pytest.raises(StoreError, match="'no' is not one of: true, false, unsure"):
        store.feedback("a-1", "no", "", 1)  # type: ignore[arg-type]


def test_expired_media_are_named_unless_a_person_marked_the_alert(store: EventStore) -> None:
    make = Numbered()
    store.append([make(alert("a-1")), make(alert("a-2"))])
    store.add_media("a-1", "/evidence/1.jpg", 100, expires_wall_ns=50)
    store.add_media("a-2", "/evidence/2.jpg", 100, expires_wall_ns=50)
    store.feedback("a-2", "true", "", 1)
    assert store.expired_media(49) == []
    assert [row.path for row in store.expired_media(50)] == ["/evidence/1.jpg"]
    store.remove_media("/evidence/1.jpg")
    assert store.media("a-1") == []
    assert [row.nbytes for row in store.media("a-2")] == [100]


def test_old_events_are_pruned_but_not_open_or_marked_alerts(path: Path) -> None:
    with EventStore(path, retention=Retention(max_age_days=1, prune_chunk=3)) as store:
        store.begin(boot="boot-1", sources=["cam0"], started_wall_ns=0)
        make = Numbered()
        for name in ("closed", "open", "marked"):
            store.append([make(alert(name))])
        store.append([make(alert("closed", 2, "end")), make(alert("marked", 2, "end"))])
        store.append([make(online()) for _ in range(5)])
        store.ack("marked", "Ada", 1)
        removed = []
        while n := store.prune(make.now_ns + 2 * DAY_NS):
            removed.append(n)
        assert removed == [3, 3, 1]
        assert {row.data.alert_id for row in store.alerts()} == {"open", "marked"}
        assert len(store.since("boot-1", 0)) == 3
        assert not store.covers("boot-1", 0)
        assert store.covers("boot-1", 10)


def test_a_store_that_is_too_big_shrinks_from_its_oldest_end(path: Path) -> None:
    limit = 300_000
    with EventStore(path, retention=Retention(max_bytes=limit, prune_chunk=50)) as store:
        store.begin(boot="boot-1", sources=["cam0"], started_wall_ns=0)
        make = Numbered()
        for i in range(400):
            store.append([make(alert(f"a-{i}")), make(alert(f"a-{i}", 2, "end"))])
        while store.prune(make.now_ns):
            pass
        left = store.since("boot-1", 0)
        assert 0 < len(left) < 800
        assert left[-1].seq == 800
        with sqlite3.connect(path) as probe:
            pages = probe.execute("PRAGMA page_count").fetchone()[0]
            size = probe.execute("PRAGMA page_size").fetchone()[0]
        probe.close()
        assert pages * size < 1.2 * limit


def test_notes_of_people_do_not_push_out_the_history(path: Path) -> None:
    with EventStore(path, retention=Retention(max_bytes=300_000)) as store:
        store.begin(boot="boot-1", sources=["cam0"], started_wall_ns=0)
        make = Numbered()
        store.append([make(alert("a-1")), *(make(online()) for _ in range(50))])
        for at in range(200):
            store.feedback("a-1", "true", "x" * 4_000, at)
        store.prune(make.now_ns)
        assert len(store.since("boot-1", 0)) == 51


def test_a_locked_store_tells_so_and_catches_up_by_itself(store: EventStore, path: Path) -> None:
    make = Numbered()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    events = [make(alert(f"a-{i}")) for i in range(4)]
    for event in events[:3]:
        with pytest.raises(StoreError, match=r"could not store events: database is locked; "):
            store.append([event])
    assert store.waiting == 3
    assert store.since("boot-1", 1) == events[1:3], "what waits must be recoverable too"
    other.execute("ROLLBACK")
    other.close()
    store.append(events[3:])
    assert store.waiting == store.lost == 0
    assert store.since("boot-1", 0) == events


def test_a_lock_costs_its_wait_once_and_not_for_each_alert(path: Path) -> None:
    with EventStore(path, busy_seconds=0.4) as store:
        store.begin(boot="boot-1", sources=["cam0"], started_wall_ns=0)
        make = Numbered()
        other = sqlite3.connect(path, isolation_level=None)
        for _ in range(2):  # the wait is back after the lock was
            other.execute("BEGIN IMMEDIATE")
            for milliseconds in (400, 0):
                (wait,) = store._db.execute("PRAGMA busy_timeout").fetchone()
                assert wait == milliseconds
                with pytest.raises(StoreError):
                    store.append([make(alert())])
            other.execute("ROLLBACK")
            store.append([make(alert())])
        other.close()


def test_a_disk_that_hangs_loses_nothing_and_keeps_the_order(path: Path) -> None:
    make = Numbered()
    events = [make(alert(f"a-{i}")) for i in range(4)]
    with EventStore(path, retention=Retention(max_waiting=2), patience_seconds=0.01) as store:
        store.begin(boot="boot-1", sources=["cam0"], started_wall_ns=0)
        with store._lock:  # the disk's thread gets no further
            for event in events[:3]:
                with pytest.raises(StoreError, match=r"did not answer within 0.01 s; look whether"):
                    store.append([event])
            with pytest.raises(StoreError, match="did not answer"):
                store.prune(0)
            assert store.since("boot-1", 1) == events[1:3], "what waits must be recoverable too"
    with EventStore(path) as store:
        assert store.since("boot-1", 0) == events[1:3], "beyond the limit the oldest is lost"


def test_a_disk_thread_begins_nothing_new_before_it_is_done() -> None:
    disk, gate, begun = DiskThread(0.01), threading.Event(), list[str]()

    def hang() -> None:
        begun.append("first")
        assert gate.wait(10)

    for _ in range(3):
        with pytest.raises(StoreError):
            disk.run(hang)
    gate.set()
    disk.close()
    assert begun == ["first"]


def test_events_beyond_the_waiting_limit_are_lost_and_counted(path: Path) -> None:
    retention = Retention(max_waiting=2)
    with EventStore(path, retention=retention, busy_seconds=0.0) as store:
        store.begin(boot="boot-1", sources=["cam0"], started_wall_ns=0)
        make = Numbered()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for i in range(5):
            with pytest.raises(StoreError):
                store.append([make(alert(f"a-{i}"))])
        assert (store.waiting, store.lost) == (2, 3)
        other.execute("ROLLBACK")
        other.close()
        store.append([])
        assert [event.seq for event in store.since("boot-1", 0)] == [4, 5]


def test_a_full_disk_tells_so_and_the_store_catches_up(store: EventStore, path: Path) -> None:
    make = Numbered()
    wal = path.with_name(path.name + "-wal")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The kernel refuses to let a file grow: to SQLite this is a disk that is full.
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size + 100, old[1]))
    try:
        with pytest.raises(StoreError, match="could not store events"):
            store.append([make(alert("a-1"))])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, before)
    store.append([make(alert("a-2"))])
    assert [event.seq for event in store.since("boot-1", 0)] == [1, 2]


def test_an_event_that_is_no_alert_does_not_block_those_after_it(store: EventStore) -> None:
    make = Numbered()
    good = make(alert())
    bad = StoredEvent("boot-1", 9, 9, good.topic, "alert", 0, b"{}")
    with pytest.raises(WireError):
        store.append([bad])
    store.append([good])
    assert store.since("boot-1", 0) == [good]


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    path.write_bytes(b"not a database, for sure" * 100)
    with pytest.raises(StoreError, match=r"cannot open .*not a database; .*--store"):
        EventStore(path)


def test_a_folder_a_missing_right_and_a_newer_version_are_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot open the event store"):
        EventStore(tmp_path)
    with pytest.raises(StoreError, match="cannot open the event store"):
        EventStore("/proc/nowhere/events.sqlite")
    newer = sqlite3.connect(tmp_path / "newer.sqlite")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(StoreError, match="has version 99, this egomon knows 1"):
        EventStore(tmp_path / "newer.sqlite")


def test_a_reader_is_told_of_a_wrong_path_and_makes_no_file(path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no event store at .*--store"):
        EventReader(path)
    assert not path.parent.exists()


def test_a_reader_lists_alerts_while_the_monitor_writes(store: EventStore, path: Path) -> None:
    make = Numbered()
    store.append([make(alert("a-1"))])
    with EventReader(path) as reader:
        store.append([make(alert("a-2"))])
        assert len(reader.alerts()) == 2
    with EventStore(path) as other:
        assert other.feedback("a-1", "true", "", 1)
    assert len(store.feedback_rows()) == 1


def test_a_store_that_another_program_creates_right_now_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="locked"):
        EventStore(path, busy_seconds=0.01)
    other.close()


def test_without_a_path_everything_is_in_memory(tmp_path: Path) -> None:
    with EventStore(None) as store:
        store.begin(boot="boot-1", sources=["cam0"], started_wall_ns=0)
        store.append([Numbered()(alert())])
        assert len(store.open_alerts()) == 1
    store.close()  # once more does no harm
    assert list(tmp_path.iterdir()) == []


_VICTIM = """
import sys
from egomon.fusion.store.reader import EventReader
from egomon.fusion.transport.sequencer import Sequencer
from egomon.fusion.store.events import EventStore
from wire_station import alert
store = EventStore(sys.argv[1])
store.begin(boot=sys.argv[2], sources=["cam0"], started_wall_ns=0)
sequencer = Sequencer(sys.argv[2], "bench", lambda: 0)
for i in range(100_000):
    event = sequencer.number("cam0", alert(f"{sys.argv[2]}-{i}"))
    store.append([event])
    sys.stdout.write(f"{event.seq}\\n")
    sys.stdout.flush()
"""


def test_nothing_that_was_announced_is_lost_by_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    here = os.fspath(Path(__file__).parents[1])
    environment = {
        **os.environ,
        "PYTHONPATH": f"{here}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    random.seed(0)
    for round_ in range(4):
        boot = f"boot-{round_}"
        victim = subprocess.Popen(
            [sys.executable, "-c", _VICTIM, os.fspath(path), boot],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert victim.stdout is not None
        announced = 0
        for _ in range(random.randint(1, 400)):
            announced = int(victim.stdout.readline())
        victim.kill()
        rest = [line for line in victim.stdout.read().splitlines(keepends=True)]
        announced = max([announced, *(int(line) for line in rest if line.endswith("\n"))])
        victim.stdout.close()
        victim.wait(10)
        with EventStore(path) as store:
            stored = [e.seq for e in store.since(boot, 0, 100_000) if e.boot == boot]
            assert stored == list(range(1, len(stored) + 1))
            assert announced <= len(stored) <= announced + 1
            orphans = [data for boot_, data in store.open_alerts() if boot_ == boot]
            assert len(orphans) == len(stored), "a killed monitor counts as dead"
            assert all(isinstance(data, AlertData) for data in orphans)
