"""Stuck stages, crashed cameras, systemd: with a clock that only the test moves."""

from __future__ import annotations

import logging
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock, FrameList, ScriptedLarge
from test_monitor import alerts, bright_at, bundle

from egomon.config import load_settings
from egomon.errors import SourceLostError
from egomon.fusion.messages.types import Data, GapData, StatusData
from egomon.monitor import Monitor, SourceRequest
from egomon.monitor.operations.watchdog import RestartBudget, Watchdog, all_stacks, sd_notify
from egomon.monitor.workers import source_worker as inputs
from egomon.stream.worker import Worker


class Stage:
    """A worker as the watchdog sees it."""

    def __init__(self, name: str) -> None:
        self.name, self.alive, self.last_beat = name, True, 0.0


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.frames = 0
        self.engines = [Stage("small"), Stage("emit")]
        self.told: list[str] = []
        self.dumps = 0
        self.dog = Watchdog(
            lambda: self.engines,  # type: ignore[arg-type, return-value]
            lambda: self.frames,
            clock=self.clock,
            dump=self._dump,
            notify=self.told.append,
        )

    def _dump(self) -> str:
        self.dumps += 1
        return "STACKS"

    def at(self, seconds: float, *moving: str) -> str | None:
        self.clock.now = seconds
        for stage in self.engines:
            if stage.name in moving:
                stage.last_beat = seconds
        return self.dog.check()


def test_a_stage_without_a_sign_of_life_is_told_once_with_all_stacks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    with caplog.at_level(logging.WARNING):
        assert bench.at(10.0, "emit") is None
        assert bench.at(10.1, "emit") == "stage small is stuck"
        assert bench.at(15.0, "emit") == "stage small is stuck"
        assert bench.dumps == 1
        assert bench.at(16.0, "emit", "small") is None
        assert bench.at(30.0, "emit") == "stage small is stuck"
    assert bench.dumps == 2
    assert "STACKS" in caplog.records[0].getMessage()
    assert "moving again: small" in caplog.records[1].getMessage()


def test_a_stage_that_has_ended_is_not_stuck() -> None:
    bench = Bench()
    for stage in bench.engines:
        stage.alive = False
    assert bench.at(1000.0) is None


def test_systemd_hears_of_us_only_while_frames_flow_and_nothing_is_stuck() -> None:
    bench = Bench()
    bench.at(0.0, "small", "emit")
    assert bench.told == []
    bench.frames = 30
    bench.at(1.0, "small", "emit")
    assert bench.told == ["READY=1\nWATCHDOG=1"]
    bench.at(2.0, "small", "emit")  # no new frame
    assert len(bench.told) == 1
    bench.frames = 60
    bench.at(3.0, "small", "emit")
    bench.at(3.5, "small", "emit")
    assert bench.told[1:] == ["WATCHDOG=1"]
    bench.frames = 90
    bench.at(20.0, "emit")
    assert bench.told[2:] == []


def test_stacks_name_every_thread() -> None:
    held = threading.Event()
    worker = Worker("sleeper", lambda worker: held.wait(10) and None)
    worker.start()
    try:
        text = all_stacks()
    finally:
        held.set()
        worker.join(5)
    assert "Thread egomon-sleeper:" in text
    assert "held.wait(10)" in text


def test_systemd_gets_its_line_and_a_missing_socket_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    sd_notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    sd_notify("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        sd_notify("WATCHDOG=1")
        manager.settimeout(5)
        assert manager.recv(100) == b"WATCHDOG=1"


def test_five_restarts_a_minute_are_allowed_and_no_more() -> None:
    clock = FakeClock()
    budget = RestartBudget(clock=clock)
    assert [budget.take() for _ in range(6)] == [True] * 5 + [False]
    clock.now = 60.0
    assert budget.take()


class Dying(FrameList):
    """Gives its frames, then raises."""

    def read(self) -> Any:
        grab = super().read()
        if grab is None and not self.closed:
            raise SourceLostError("the camera fell off", code="STREAM_DAMAGED")
        return grab


def live_monitor(
    sources: list[FrameList], monkeypatch: pytest.MonkeyPatch
) -> tuple[Monitor, list[Data]]:
    events: list[Data] = []
    settings = load_settings(
        None,
        {
            "bus": {"publish": (), "control": "none"},
            "store": {"path": "none"},
            "source": {"staleness_seconds": 1e9},
        },
    )
    watch = Monitor(
        [SourceRequest("fake", "fake", True)],
        settings,
        bundle=bundle(ScriptedLarge([3.0] * 99)),
        listeners=[lambda name, data: events.append(data)],
    )
    waiting = iter(sources)
    monkeypatch.setattr(inputs, "RESTART_SECONDS", 0.0)
    monkeypatch.setattr(watch.inputs[0], "_open_reference", lambda: next(waiting))
    sources[0].on_read = lambda index: watch.inputs[0].ready.wait(10) and None
    return watch, events


def test_a_live_source_that_crashes_is_opened_again_and_its_time_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch, events = live_monitor(
        [Dying(bright_at(seconds=5)), FrameList(bright_at((3, 6), seconds=10))], monkeypatch
    )
    summary = watch.run()
    assert summary.frames["decoded"] in (149, 150)  # one may come before the models are loaded
    assert summary.stopped_by == "end"
    assert summary.frames["sampled"] == summary.frames["encoded"]
    found = alerts(events)
    phases = [alert.phase for alert in found]
    assert phases.count("new") == phases.count("end") >= 1, found
    first = found[0]
    assert first.segment.epoch == 1
    assert first.segment.media_start > 5.0
    assert any(isinstance(e, GapData) and e.cause == "reconnect" for e in events)


def test_a_source_that_crashes_a_sixth_time_within_a_minute_ends_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sources: list[FrameList] = [Dying(bright_at(seconds=1)) for _ in range(8)]
    watch, events = live_monitor(sources, monkeypatch)
    with pytest.raises(SourceLostError, match="fell off"):
        watch.run()
    assert [source.closed for source in sources] == [True] * 6 + [False] * 2
    assert [e for e in events if isinstance(e, StatusData)][-1].source_state == "ended"


def test_a_stuck_stage_shows_in_the_status_and_goes_when_it_moves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hold, held = threading.Event(), threading.Event()

    def on_read(index: int) -> None:
        watch.inputs[0].ready.wait(10)
        if index == 100:
            held.set()
            hold.wait(10)

    watch, events = live_monitor([FrameList(bright_at(seconds=20), kind="live")], monkeypatch)
    source = FrameList(bright_at(seconds=20), kind="live", on_read=on_read)
    monkeypatch.setattr(watch.inputs[0], "_open_reference", lambda: source)

    def codes() -> list[str | None]:
        return [e.error.code if e.error else None for e in events if isinstance(e, StatusData)]

    class Dog:
        trouble: str | None = None

        def check(self) -> None:
            if held.is_set() and "STAGE_STUCK" not in codes():
                self.trouble = "stage small is stuck"
            elif held.is_set():
                self.trouble = None
                if codes()[-1] is None:
                    hold.set()

    watch._watchdog = Dog()  # type: ignore[assignment]
    watch.run()
    assert "STAGE_STUCK" in codes()
    assert codes()[-1] is None
