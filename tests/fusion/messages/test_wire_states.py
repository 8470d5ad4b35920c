"""No word on the wire is empty: each state and each reason is given by some scenario."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import test_monitor as monitors
from fakes import FakeClock, FrameList, ScriptedLarge, image
from segments import scored
from test_alert_engine import Bench
from test_lifecycle import make, run, verdict

from egomon.config import load_settings
from egomon.errors import SourceLostError, SourceOpenError
from egomon.fusion.messages.types import (
    AlertData,
    AlertState,
    Data,
    Evidence,
    Phase,
    StatusData,
    _KnownReason,
)
from egomon.fusion.store.events import EventStore
from egomon.fusion.transport.server import EventServer
from egomon.monitor import Monitor, SourceRequest
from egomon.monitor.workers.source_timeout import SourceTimeout
from egomon.report.html import asset
from egomon.stream.frame import SourceInfo
from egomon.stream.source import SourceState
from egomon.stream.source_options import OpenContext
from egomon.stream.sources.network.connection import RawFrame
from egomon.stream.sources.network.reconnecting import Reconnecting

PATIENCE_SECONDS = 20.0
"""Nothing waits for so long unless it is broken."""


class Line:
    """One connection of a camera; without frames it refuses."""

    def __init__(self, frames: Iterator[RawFrame | None] | None) -> None:
        self._frames = frames
        self.packets = 0

    def open(self) -> tuple[int, int, float | None]:
        if self._frames is None:
            raise SourceOpenError("nobody there", code="STREAM_NOT_FOUND")
        return 64, 64, 10.0

    def read(self, timeout_seconds: float) -> RawFrame | None:
        assert self._frames is not None
        frame = next(self._frames)
        self.packets += frame is not None
        return frame

    def close(self) -> None:
        """Nothing to close."""


class UnsteadyCamera:
    """Bright from 6 s on; it falls silent, is lost, `comes_back` or not, and is lost for good."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, comes_back: bool = False) -> None:
        self.clock = FakeClock()
        self.events: list[Data] = []
        self.is_raised, self.is_ended = threading.Event(), threading.Event()
        self.when_silent: Callable[[], object] = lambda: None
        self._lines = iter([self._first(), self._second()] if comes_back else [self._first()])
        settings = load_settings(
            None,
            {
                "bus": {"publish": (), "control": "none"},
                "store": {"path": "none"},
                "source": {"staleness_seconds": 1e9, "give_up_seconds": 20.0},
            },
        )
        monkeypatch.setattr("egomon.monitor.workers.source_worker.open_in", self._source)
        self.monitor = Monitor(
            [SourceRequest("cam", "rtsp://fake", True)],
            settings,
            bundle=monitors.bundle(ScriptedLarge([3.0] * 99)),
            listeners=[self._hear],
        )

    @property
    def told(self) -> list[AlertData]:
        return [event for event in self.events if isinstance(event, AlertData)]

    def _source(self, reference: str, context: OpenContext) -> Reconnecting:
        info = SourceInfo("cam", reference, "live", 0, 0, None, None)
        connect = lambda stop: Line(next(self._lines, None))  # noqa: E731
        return Reconnecting(info, connect, replace(context, clock=self.clock), wait=self._wait)

    def _wait(self, stop: threading.Event, seconds: float) -> bool:
        self.clock.now += seconds
        return stop.is_set()

    def _hear(self, name: str, data: Data) -> None:
        self.events.append(data)
        if isinstance(data, AlertData):
            (self.is_ended if data.phase == "end" else self.is_raised).set()

    def _first(self) -> Iterator[RawFrame | None]:
        assert self.monitor.inputs[0].ready.wait(PATIENCE_SECONDS)
        for number in range(120):
            yield self._frame(number)
        assert self.is_raised.wait(PATIENCE_SECONDS), "no alert was raised"
        while True:
            self.clock.now += 1.0
            yield None
            self.when_silent()

    def _second(self) -> Iterator[RawFrame | None]:
        for number in range(120, 125):
            yield self._frame(number)
        raise SourceLostError("gone", code="STREAM_ENDED")

    def _frame(self, number: int) -> RawFrame:
        self.clock.now += 0.1
        now_ns, level = self.clock.ns(), 250 if number > 60 else 10
        return RawFrame(number / 10, now_ns, now_ns, lambda: image(level, 64))


def test_each_state_of_a_source_is_told_on_the_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = UnsteadyCamera(monkeypatch, comes_back=True)
    with pytest.raises(SourceLostError, match="did not come back within 20 s"):
        camera.monitor.run()
    states = [e.source_state for e in camera.events if isinstance(e, StatusData)]
    order = list(dict.fromkeys(states))
    assert order == ["connecting", "online", "stalled", "reconnecting", "offline", "ended"]
    assert set(order) == set(get_args(SourceState)) == set(wire_states())


def wire_states() -> tuple[str, ...]:
    return get_args(get_type_hints(StatusData)["source_state"])


def given_up(monkeypatch: pytest.MonkeyPatch) -> list[AlertData]:
    camera = UnsteadyCamera(monkeypatch)
    with pytest.raises(SourceLostError):
        camera.monitor.run()
    return camera.told


def test_an_alert_ends_while_its_camera_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("egomon.monitor.workers.source_timeout.AWAY_SECONDS", 0.0)
    camera = UnsteadyCamera(monkeypatch)
    camera.when_silent = lambda: camera.clock.now > 14.5 and camera.is_ended.wait(PATIENCE_SECONDS)
    with pytest.raises(SourceLostError):
        camera.monitor.run()
    assert [alert.phase for alert in camera.told][:2] == ["new", "end"]
    assert camera.told[1].reason == "source_lost"
    end = camera.events.index(camera.told[1])
    states = [e.source_state for e in camera.events[:end] if isinstance(e, StatusData)]
    assert states[-1] == "stalled", "it does not wait until the camera is back"


def test_a_short_absence_ends_nothing() -> None:
    clock = FakeClock()
    absence = SourceTimeout(clock)
    absence.on_state("cam", "stalled")
    clock.now = 4.0
    absence.on_state("cam", "reconnecting")
    assert not absence.is_long("cam")
    clock.now = 5.0
    assert absence.is_long("cam")
    assert not absence.is_long("other")
    absence.on_state("cam", "online")
    assert not absence.is_long("cam")


def reset(monkeypatch: pytest.MonkeyPatch) -> list[AlertData]:
    """The wearer begins another piece of work while an alert is open."""
    camera = UnsteadyCamera(monkeypatch)
    camera.when_silent = lambda: (
        camera.monitor.reset_context("cam") and camera.is_ended.wait(PATIENCE_SECONDS)
    )
    with pytest.raises(SourceLostError):
        camera.monitor.run()
    return camera.told


def replay(*bright: tuple[float, float], **options: Any) -> list[AlertData]:
    watch, events = monitors.monitor(FrameList(monitors.bright_at(*bright, seconds=8)), **options)
    watch.run()
    return monitors.alerts(events)


def shutdown(monkeypatch: pytest.MonkeyPatch) -> list[AlertData]:
    camera = UnsteadyCamera(monkeypatch)
    camera.when_silent = camera.monitor.stop
    camera.monitor.run()
    return camera.told


def killed(folder: Path) -> list[AlertData]:
    store = folder / "events.sqlite"
    with EventStore(store) as kept, EventServer((), None, host="here", boot="b0") as bus:
        kept.begin(boot="b0", sources=["fake"], started_wall_ns=1)
        (opened, *_) = replay((3, 7))
        kept.append([bus.prepare("fake", opened).event])
    return replay(store=store)


def fused(script: list[float | Exception], **options: Any) -> list[AlertData]:
    bench = Bench(script, **options)
    events = bench.stage.on_scored(scored(0, 3.0))
    if script:
        events += bench.answer()
    bench.clock.now = 4.0
    events += bench.stage.tick()
    return [event for event in events if isinstance(event, AlertData)]


def with_evidence() -> list[AlertData]:
    lifecycle = make()
    run(lifecycle, [-5, 3, 3])
    return lifecycle.evidence((Evidence(kind="clip", media_type="video/mp4"),))


def with_words() -> list[AlertData]:
    lifecycle = make()
    run(lifecycle, [-5, 3, 3])
    return lifecycle.described("Two hands hold a cup.")


def strange() -> list[AlertData]:
    lifecycle = make()
    opened = run(lifecycle, [-5, 3])
    return opened + lifecycle.apply(verdict(3, 3.0, out_of_domain=True), mode="full")


SCENARIOS: dict[str, Callable[[pytest.MonkeyPatch, Path], list[AlertData]]] = {
    "small_score": lambda patch, folder: fused([4.0], emission="provisional"),
    "refined": lambda patch, folder: fused([4.0]),
    "refine_expired": lambda patch, folder: fused([]),
    "breaker_open": lambda patch, folder: fused([RuntimeError("CUDA out of memory")]),
    "severity_raised": lambda patch, folder: run(make(), [-5, 1.0, 5.0]),
    "evidence_ready": lambda patch, folder: with_evidence(),
    "described": lambda patch, folder: with_words(),
    "below_t_off": lambda patch, folder: replay((3, 5)),
    "source_lost": lambda patch, folder: given_up(patch),
    "source_ended": lambda patch, folder: replay((3, 9)),
    "monitor_restarted": lambda patch, folder: killed(folder),
    "shutdown": lambda patch, folder: shutdown(patch),
    "context_reset": lambda patch, folder: reset(patch),
    "out_of_domain": lambda patch, folder: strange(),
    "refined_below_threshold": lambda patch, folder: fused([-9.0], emission="provisional"),
}


@pytest.mark.parametrize("reason", get_args(_KnownReason))
def test_each_reason_is_given(reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    alerts = SCENARIOS[reason](monkeypatch, tmp_path)
    assert reason in {alert.reason for alert in alerts}
    opened = [alert.alert_id for alert in alerts if alert.phase == "new"]
    closed = [alert.alert_id for alert in alerts if alert.phase in ("end", "retract")]
    assert len(closed) == len(set(closed))
    assert reason in ("monitor_restarted", "evidence_ready", "described") or set(closed) <= set(
        opened
    )


def test_each_phase_and_state_of_an_alert_is_given() -> None:
    alerts = fused([4.0], emission="provisional") + fused([-9.0], emission="provisional")
    alerts += replay((3, 5))
    assert {alert.phase for alert in alerts} == set(get_args(Phase))
    assert {alert.state for alert in alerts} == set(get_args(AlertState))


def test_the_pages_have_a_sentence_for_each_reason_and_for_no_other() -> None:
    listed = asset("words.js").partition("REASONS = Object.freeze({")[2].partition("});")[0]
    assert set(re.findall(r"^  (\w+):", listed, re.MULTILINE)) == set(get_args(_KnownReason))
