"""Promises of the whole monitor: repeatable under jitter, flat when slow, no password shown."""

from __future__ import annotations

import logging
import random
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec
import pytest
from fakes import BrightnessEncoder, FrameList, ScriptedLarge
from test_monitor import CARD, alerts, bright_at, bundle, monitor

from egomon.branches.base import Float32
from egomon.config import load_settings
from egomon.fusion.envelope import encode
from egomon.fusion.wire import Data, StatusData
from egomon.monitor import LatencyModel, Monitor, SourceRequest
from egomon.monitor.system import rss_bytes
from egomon.stream.buffer import RollingBuffer
from egomon.stream.frame import Frame

PASSWORD = "hunter" + str(2)  # put together: tracebacks show the source line


def jitter(rng: random.Random) -> None:
    time.sleep(rng.choice([0.0, 0.0, 0.0005, 0.003]))


class JitteryEncoder(BrightnessEncoder):
    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng

    def encode(self, images: Any) -> Float32:
        jitter(self._rng)
        return super().encode(images)


class JitteryLarge(ScriptedLarge):
    rng = random.Random(0)

    def score(self, segment: Any) -> Any:
        jitter(self.rng)
        return super().score(segment)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_threads_that_sleep_at_random_give_the_same_bytes(seed: int) -> None:
    def run(rng: random.Random | None) -> bytes:
        script = [3.0, -3.0, RuntimeError("boom"), 2.0] * 20
        source = FrameList(bright_at((3, 6), (9, 14), (18, 19), seconds=25))
        large = ScriptedLarge(script) if rng is None else JitteryLarge(script)
        watch, events = monitor(source, large=large)
        if rng is not None:
            source.on_read = lambda index: jitter(rng)
            watch._bundle.encoder = JitteryEncoder(rng)  # type: ignore[union-attr, misc]
        watch.run()
        return b"\n".join(encode(a) for a in alerts(events))

    calm = run(None)
    assert calm
    assert run(random.Random(seed)) == calm


def test_a_branch_that_is_too_slow_costs_frames_but_neither_delay_nor_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """60 simulated seconds at 30 frames a second, each of which takes 200 ms."""
    ages: list[float] = []
    memory: list[int] = []
    original = RollingBuffer.take

    def take(self: RollingBuffer, most: int) -> list[Frame]:
        taken = original(self, most)
        ages.extend(self._clock() - frame.mono_ns * 1e-9 for frame in taken)
        memory.append(rss_bytes())
        return taken

    monkeypatch.setattr(RollingBuffer, "take", take)
    models = bundle(ScriptedLarge([]))
    models.card = msgspec.structs.replace(
        CARD, stream=msgspec.structs.replace(CARD.stream, fps=30.0)
    )
    settings = load_settings(
        None,
        {
            "bus": {"publish": (), "control": "none"},
            "store": {"path": "none"},
            "source": {"staleness_seconds": 0.5, "buffer_seconds": 5.0},
        },
    )
    frames = ((i / 30, 0, 10) for i in range(60 * 30))
    watch = Monitor(
        [SourceRequest("fake", "fake", False, FrameList(frames, px=320))],
        settings,
        bundle=models,
        latency_model=LatencyModel(frame_ms=200.0),
    )
    counts = watch.run().frames
    assert counts["sampled"] == counts["encoded"] + counts["dropped_staleness"] == 1800
    assert counts["encoded"] < 400
    *others, newest = sorted(ages)  # the very last frame is scored whatever its age
    assert others[-1] <= 0.5 + 1e-6
    assert newest < 2.0
    settled = memory[len(memory) // 4]
    assert memory[-1] <= 1.05 * settled


def test_a_password_in_an_address_reaches_neither_log_nor_status_nor_metrics_nor_store(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "events.sqlite"
    seen: list[Data] = []
    pages: list[bytes] = []
    settings = load_settings(
        None,
        {
            "bus": {"publish": (), "control": "none"},
            "store": {"path": str(store)},
            "metrics": {"address": "127.0.0.1:0"},
            "source": {"wait": True, "open_timeout_seconds": 1.0},
        },
    )
    url = f"rtsp://me:{PASSWORD}@127.0.0.1:9/live?token={PASSWORD}"
    watch = Monitor(
        [SourceRequest("cam", url, True)],
        settings,
        bundle=bundle(ScriptedLarge([])),
        listeners=[lambda name, data: seen.append(data)],
        duration_seconds=20.0,
    )
    import egomon.monitor.services as services

    servers: list[Any] = []
    real = services.HealthServer

    class Server(real):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            servers.append(self)

    def on_tick() -> None:
        errors = [e.error for e in seen if isinstance(e, StatusData) and e.error is not None]
        if errors:
            for page in ("metrics", "readyz", "healthz"):
                pages.append(fetch(servers[0].port, page))
            watch.stop()

    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.DEBUG):
        patch.setattr(services, "HealthServer", Server)
        watch.run(on_tick)
    assert any(isinstance(e, StatusData) and e.error is not None for e in seen)
    assert len(pages) >= 3
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    everything = b"".join([*map(encode, seen), *pages, stored, caplog.text.encode()])
    assert b"127.0.0.1:9" in everything
    assert PASSWORD.encode() not in everything


def fetch(port: int, page: str) -> bytes:
    from urllib.error import HTTPError

    try:
        with urlopen(f"http://127.0.0.1:{port}/{page}", timeout=5) as answer:
            return bytes(answer.read())
    except HTTPError as error:
        with error:
            return error.read()
