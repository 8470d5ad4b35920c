"""Crashed workers, a locked store, a vanished folder: alerts go on and the fault is shown."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock, FrameList, ScriptedLarge
from test_monitor import alerts, bright_at, bundle, monitor

from egomon.config import load_settings
from egomon.errors import WorkerCrashedError
from egomon.fusion.messages.types import AlertData, Data, GapData, StatusData
from egomon.fusion.store.events import EventStore
from egomon.monitor import Monitor, SourceRequest
from egomon.monitor.operations.restarts import Restarts
from egomon.stream import worker as workers
from egomon.stream.worker import Worker


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "RESTART_SECONDS", 0.0)


def errors(events: list[Data]) -> list[str | None]:
    return [e.error.code if e.error else None for e in events if isinstance(e, StatusData)]


def test_five_restarts_a_minute_for_each_worker_and_none_in_a_replay() -> None:
    clock = FakeClock()
    restarts = Restarts(allowed=True, clock=clock)
    small, emit = (Worker(name, lambda worker: None) for name in ("small", "emit"))
    assert [restarts.may_restart(small, RuntimeError("x")) for _ in range(6)] == [True] * 5 + [
        False
    ]
    assert restarts.may_restart(emit, RuntimeError("y"))
    assert restarts.counts == {"small": 5, "emit": 1}
    told = restarts.fault()
    assert told is not None
    assert "emit worker crashed and was started again: RuntimeError: y" in told
    clock.now = 60.0
    assert restarts.fault() is None
    assert restarts.may_restart(small, RuntimeError("x"))
    assert not Restarts(allowed=False).may_restart(small, RuntimeError("x"))


def test_a_restarted_body_goes_on_in_the_same_thread() -> None:
    seen: list[int] = []

    def body(worker: Worker) -> None:
        seen.append(threading.get_ident())
        if len(seen) < 3:
            raise RuntimeError("again")

    worker = Worker("w", body, may_restart=lambda worker, error: True)
    worker.start()
    assert worker.join(5)
    assert len(seen) == 3
    assert len(set(seen)) == 1
    assert worker.crash is None


def live(
    *spans: tuple[float, float], seconds: float = 30.0, **options: Any
) -> tuple[Monitor, list[Data]]:
    source = FrameList(bright_at(*spans, seconds=seconds), kind="live")
    watch, events = monitor(source, live=True, **options)
    source.on_read = lambda index: wait_for_room(watch)
    return watch, events


def wait_for_room(watch: Monitor) -> None:
    """A camera of simulated time must not run away from the models."""
    item = watch.inputs[0]
    item.ready.wait(10)
    with item.buffer.condition:
        item.buffer.condition.wait_for(lambda: item.buffer.unread < 32, timeout=5)


def test_a_source_that_never_tells_its_state_is_online_with_its_first_frame() -> None:
    watch, events = live(seconds=3)
    watch.run()
    states = [e.source_state for e in events if isinstance(e, StatusData)]
    assert list(dict.fromkeys(states)) == ["connecting", "online", "ended"]


def test_a_small_branch_that_crashes_twice_is_accounted_for_and_the_run_goes_on() -> None:
    watch, events = live((3, 6), (20, 24))
    small = watch._bundle.small  # type: ignore[union-attr]
    original: Callable[..., Any] = small.score
    failures = [10.0, 15.0]

    def score(clip: Any, context: Any) -> Any:
        if failures and clip.t_end > failures[0]:
            failures.pop(0)
            raise RuntimeError("out of luck")
        return original(clip, context)

    small.score = score  # type: ignore[method-assign]
    summary = watch.run()
    assert failures == []
    frames = summary.frames
    dropped = sum(n for name, n in frames.items() if name.startswith("dropped_"))
    assert frames["sampled"] == frames["encoded"] + dropped
    # How many frames it costs depends on how many were taken together: see test_scoring_loop.
    told = [e.count for e in events if isinstance(e, GapData) and e.cause == "crash"]
    assert sum(told) == frames.get("dropped_crash", 0)
    assert [a.phase for a in alerts(events)] == ["new", "end"] * 2
    assert watch._restarts.counts == {"small": 2}


def test_a_small_branch_that_always_crashes_ends_the_run_after_five_restarts() -> None:
    watch, events = live((3, 30))
    small = watch._bundle.small  # type: ignore[union-attr]

    def score(clip: Any, context: Any) -> Any:
        raise RuntimeError("out of luck")

    small.score = score  # type: ignore[method-assign]
    with pytest.raises(WorkerCrashedError, match="small worker crashed: RuntimeError"):
        watch.run()
    assert watch._restarts.counts == {"small": 5}
    assert [e for e in events if isinstance(e, StatusData)][-1].source_state == "ended"


def test_a_listener_that_raises_loses_no_alert_and_shows_in_the_status(tmp_path: Path) -> None:
    store = tmp_path / "events.sqlite"
    watch, events = live((3, 6), (12, 15), store=store)
    hold, told = threading.Event(), threading.Event()

    def listener(name: str, data: Data) -> None:
        if isinstance(data, AlertData) and data.phase == "new":
            raise OSError("the printer is on fire")
        if "WORKER_RESTARTED" in errors(events):
            told.set()

    source = watch.inputs[0]._request.source
    assert isinstance(source, FrameList)
    first = source.on_read

    def on_read(index: int) -> None:
        first(index)
        if index == 250:
            hold.wait(20)

    source.on_read = on_read
    watch._listeners = (*watch._listeners, listener)
    watch.run(lambda: hold.set() if told.is_set() else None)
    assert told.is_set()
    assert [a.phase for a in alerts(events)] == ["new", "end"] * 2
    assert watch._restarts.counts == {"emit": 2}
    with EventStore(store) as kept:
        assert kept.open_alerts() == []
        assert len(kept.alerts(None, 10)) == 2


def test_a_locked_store_and_a_lost_folder_are_shown_and_end_by_themselves(tmp_path: Path) -> None:
    store, folder = tmp_path / "events.sqlite", tmp_path / "clips"
    events: list[Data] = []
    settings = load_settings(
        None,
        {
            "bus": {"publish": (), "control": "none"},
            "store": {"path": str(store)},
            "source": {"staleness_seconds": 1e9},
            "evidence": {"folder": folder, "after_seconds": 0.0},
        },
    )
    at = 0
    go = threading.Event()

    def on_read(index: int) -> None:
        nonlocal at
        wait_for_room(watch)
        if index in (50, 150, 250):  # between two alerts
            at = index
            assert go.wait(30)
            go.clear()

    spans = [(6.0, 8.0), (16.0, 18.0)]
    source = FrameList(bright_at(*spans), kind="live", on_read=on_read)
    watch = Monitor(
        [SourceRequest("fake", "fake", True, source)],
        settings,
        bundle=bundle(ScriptedLarge([3.0] * 99)),
        listeners=[lambda name, data: events.append(data)],
    )

    def story() -> Any:
        yield from until(lambda: at == 50)
        lock = sqlite3.connect(store, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        shutil.rmtree(folder)
        folder.write_text("in the way")
        go.set()
        yield from until(lambda: at == 150 and {"STORE_FAILED"} <= set(errors(events)))
        assert [a.phase for a in alerts(events)] == ["new", "end"], "said without a store"
        lock.execute("ROLLBACK")
        lock.close()
        yield from until(lambda: errors(events)[-1] == "EVIDENCE_FAILED")
        folder.unlink()
        go.set()
        yield from until(lambda: at == 250 and errors(events)[-1] is None)
        go.set()

    steps = story()
    watch.run(lambda: next(steps, None))
    assert [a.phase for a in alerts(events) if a.phase != "update"] == ["new", "end"] * 2
    assert len(list(folder.glob("*.mp4"))) == 1
    with EventStore(store) as kept:
        assert len(kept.alerts(None, 10)) == 2
        assert kept.open_alerts() == []
    told = [e.error.message for e in events if isinstance(e, StatusData) and e.error]
    assert not any(str(tmp_path) in message for message in told)


def until(true: Callable[[], bool]) -> Any:
    while not true():
        yield
