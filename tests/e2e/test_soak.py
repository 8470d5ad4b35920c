"""Hours of live video with a camera that misbehaves: nothing unaccounted, nothing grows."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes import FrameList, RecordingListener, ScriptedLarge
from test_monitor import bundle

from egomon.config import load_settings
from egomon.errors import SourceLostError
from egomon.fusion.messages.types import AlertData, Data, GapData, StatsData, StatusData
from egomon.fusion.store.events import EventStore
from egomon.monitor import Monitor, SourceRequest
from egomon.monitor.operations.watchdog import RestartBudget
from egomon.monitor.workers import source_worker as inputs
from egomon.stream.frame import Grab
from egomon.stream.source import StateChange
from egomon.stream.sources.chaos import RATES, ChaosSource, Fault

FPS = 30
UNREAD = 64
"""The camera runs ahead of the models by at most so many frames: simulated, not real, time."""
SLOPE_MB_PER_HOUR = 5.0


class Log:
    """What a subscriber would have seen, without keeping it all."""

    def __init__(self) -> None:
        self.phases: Counter[str] = Counter()
        self.gaps: Counter[str] = Counter()
        self.states: list[str] = []
        self.open: set[str] = set()
        self.memory: list[tuple[float, float]] = []
        """(hours of media, MB resident)"""

    def __call__(self, source: str, data: Data) -> None:
        if isinstance(data, AlertData):
            self.phases[data.phase] += 1
            if data.phase == "new":
                assert not self.open
                self.open.add(data.alert_id)
            elif data.phase in ("end", "retract"):
                self.open.remove(data.alert_id)
        elif isinstance(data, StatusData):
            self.states.append(data.source_state)
        elif isinstance(data, GapData):
            self.gaps[data.cause] += data.count
        elif isinstance(data, StatsData):
            self.memory.append((data.media_seconds / 3600, data.rss_bytes / 1e6))


class CountingChaos(ChaosSource):
    """Tells the camera about each duplicate."""

    camera: Camera

    def _apply(self, fault: Fault, grab: Grab) -> list[Grab]:
        self.camera.duplicated += fault.kind == "duplicate"
        return super()._apply(fault, grab)


class Camera:
    """Opens a chaos source on what is left of one long stream; counts what it was asked for."""

    def __init__(self, watch: Monitor, minutes: int) -> None:
        self.pipeline = watch
        self.given = 0
        self.duplicated = 0
        self.lives = 0
        self._frames = self._stream(minutes)

    def _stream(self, minutes: int) -> Iterator[tuple[float, int, int]]:
        for i in range(minutes * 60 * FPS):
            self.given += 1
            yield i / FPS, 0, 250 if (i // (FPS * 3)) % 7 == 6 else 10

    def open(self) -> ChaosSource:
        self.lives += 1
        item = self.pipeline.inputs[0]
        source = CountingChaos.random(
            FrameList(self._frames, kind="live", on_read=self._wait),
            seed=self.lives,
            rates={**RATES, "die": 0.0004},
            frames=20_000,
            stall_seconds=0.001,
            listener=item,
        )
        assert isinstance(source, CountingChaos)
        source.camera = self
        item.on_state(StateChange("online"))
        return source

    def _wait(self, index: int) -> None:
        item = self.pipeline.inputs[0]
        item.ready.wait(30)
        with item.buffer.condition:
            item.buffer.condition.wait_for(lambda: item.buffer.unread < UNREAD, timeout=5)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("minutes", [3, pytest.param(180, marks=pytest.mark.slow)])
def test_a_camera_that_stalls_jumps_and_dies_leaves_every_frame_accounted(
    minutes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log()
    store = tmp_path / "events.sqlite"
    settings = load_settings(
        None,
        {
            "bus": {"publish": ("tcp://127.0.0.1:*",), "control": "none"},
            "store": {"path": str(store)},
            "source": {"staleness_seconds": 1e9},
            "evidence": {"snapshot": True},
        },
    )
    models = bundle(ScriptedLarge([3.0] * 100_000))
    models.small.seen = deque(maxlen=1)  # the fakes remember everything
    models.encoder.batches = deque(maxlen=1)
    watch = Monitor(
        [SourceRequest("cam", "fake", True)],
        settings,
        bundle=models,
        listeners=[log],
    )
    camera = Camera(watch, minutes)
    item = watch.inputs[0]
    item._restarts = RestartBudget(most=10**6)  # simulated minutes pass in real seconds
    monkeypatch.setattr(inputs, "RESTART_SECONDS", 0.0)
    monkeypatch.setattr(item, "_open_reference", camera.open)

    summary = watch.run()

    assert camera.given == minutes * 60 * FPS
    assert camera.lives > 1
    frames = summary.frames
    dropped = sum(n for name, n in frames.items() if name.startswith("dropped_"))
    # Duplicates are refused as out of order; one live frame may come before the models are there.
    lost_before = camera.given + camera.duplicated - frames["decoded"]
    lost_behind = frames["sampled"] - frames["encoded"]
    assert lost_before + lost_behind - dropped in (0, 1)
    assert {cause for cause in log.gaps if log.gaps[cause]} == {
        name.removeprefix("dropped_")
        for name, n in frames.items()
        if name.startswith("dropped_") and n
    }
    assert log.gaps["reconnect"] == 0
    assert [s for s in log.states if s != "ended"][-1] == "online"
    assert log.phases["new"] == log.phases["end"] + log.phases["retract"] > minutes
    with EventStore(store) as kept:
        assert kept.open_alerts() == []
    if minutes == 180:  # caches (SQLite, context, ring of events) fill in the first half
        settled = [(h, mb) for h, mb in log.memory if h > 1.5]
        slope = float(np.polyfit(*zip(*settled, strict=True), 1)[0])
        assert slope < SLOPE_MB_PER_HOUR, f"{slope:.1f} MB an hour: {settled}"


def test_a_chaos_source_that_dies_has_accounted_for_a_late_frame_before() -> None:
    listener = RecordingListener()
    frames = ((i / FPS, 0, 10) for i in range(10))
    faults = [Fault(3, "duplicate"), Fault(4, "die")]
    with ChaosSource(FrameList(frames), faults, listener=listener) as source:
        for _ in range(4):
            assert source.read() is not None
        with pytest.raises(SourceLostError):
            source.read()
    assert [(gap.cause, gap.count) for gap in listener.gaps] == [("out_of_order", 1)]
