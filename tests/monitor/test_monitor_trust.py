"""Promises of the whole monitor: repeatable under jitter, flat when slow, no password shown."""

from __future__ import annotations

import json
import logging
import random
import socket
import threading
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import jsonschema
import msgspec
import pytest
import zmq
from fakes import BrightnessEncoder, FrameList, ScriptedLarge
from test_monitor import CARD, alerts, bright_at, bundle, monitor

from egomon.branches.interfaces import Float32
from egomon.config import load_settings
from egomon.fusion.messages.envelope import encode, kind_of
from egomon.fusion.messages.json_schema import FOLDER
from egomon.fusion.messages.types import Data, StatsData, StatusData
from egomon.fusion.transport.control_server import StoreControl
from egomon.monitor import LatencyModel, Monitor, SourceRequest
from egomon.monitor.operations.process import rss_bytes
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


def test_a_request_that_takes_long_keeps_no_message_waiting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked, heard, served = threading.Event(), threading.Event(), list[bool]()

    def since(self: StoreControl, *request: object) -> list[Any]:
        asked.set()
        served.append(heard.wait(5))
        return []

    monkeypatch.setattr(StoreControl, "since", since)
    endpoint = f"ipc://{tmp_path}/control"
    settings = load_settings(
        None, {"bus": {"publish": (), "control": endpoint}, "store": {"path": "none"}}
    )

    def listen(source: str, data: Data) -> None:
        if isinstance(data, StatsData) and asked.is_set():
            heard.set()
            watch.stop()

    source = FrameList(bright_at(seconds=60), kind="live")
    watch = Monitor(
        [SourceRequest("fake", "fake", True, source)],
        settings,
        bundle=bundle(ScriptedLarge([])),
        listeners=[listen],
        duration_seconds=30,
    )
    source.on_read = lambda index: heard.wait(0.05) and None
    with zmq.Context() as context, context.socket(zmq.DEALER) as client:
        client.linger = 0
        client.connect(endpoint)
        client.send(b'{"verb":"since","seq":0}')
        watch.run()
    assert served == [True]


class LateEncoder(BrightnessEncoder):
    """Begins when the source is at its end, or has had time to get there."""

    def __init__(self) -> None:
        super().__init__()
        self.source_ended = threading.Event()

    def encode(self, images: Any) -> Float32:
        self.source_ended.wait(0.3 if not self.batches else 0.0)
        return super().encode(images)


def test_a_recording_waits_for_a_slow_branch_and_loses_no_frame() -> None:
    source = FrameList(bright_at((3, 6), seconds=60))
    watch, _ = monitor(source, source_settings={"buffer_seconds": 1.0, "staleness_seconds": 1e-3})
    encoder = LateEncoder()
    watch._bundle.encoder = encoder  # type: ignore[union-attr, misc]
    source.on_read = lambda index: encoder.source_ended.set() if index == 600 else None
    assert watch.run().frames == {"decoded": 600, "sampled": 240, "encoded": 240}


class WideEncoder(BrightnessEncoder):
    """Frames of 300 kB: one that is kept for longer than it should be shows in the memory."""

    image_px = 320


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
    models.encoder = WideEncoder()
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


@pytest.mark.parametrize("live", [True, False])
def test_whatever_a_run_says_follows_the_published_schema(live: bool) -> None:
    script = [3.0, -3.0, RuntimeError("boom"), float("nan"), 2.0] * 20
    source = FrameList(bright_at((3, 6), (9, 14), (18, 19), seconds=25), kind="live")
    watch, events = monitor(
        source,
        large=ScriptedLarge(script),
        live=live,
        decision={"emit": "provisional", "cooldown_seconds": 0.0},
        evidence={"snapshot": True},
    )
    watch.run()
    for event in events:
        schema = (FOLDER / f"{kind_of(event)}.json").read_bytes()
        jsonschema.validate(json.loads(encode(event)), json.loads(schema))
    assert {kind_of(event) for event in events} >= {"alert", "segment", "status", "stats"}
    assert any(a.evidence for a in alerts(events))
    assert any(a.latency_ms for a in alerts(events)) is live


@pytest.mark.parametrize("nobody", [True, False], ids=["refused", "silent"])
def test_a_password_in_an_address_reaches_neither_log_nor_status_nor_metrics_nor_store(
    nobody: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"127.0.0.1:{server.getsockname()[1]}"
        if nobody:
            server.close()
        found = all_that_is_said_of(host, tmp_path, caplog)
    assert host.encode() in found
    assert PASSWORD.encode() not in found


def all_that_is_said_of(host: str, folder: Path, caplog: pytest.LogCaptureFixture) -> bytes:
    """Log, messages, pages and store of a run that cannot reach its camera."""
    store = folder / "events.sqlite"
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
    url = f"rtsp://me:{PASSWORD}@{host}/live?token={PASSWORD}"
    watch = Monitor(
        [SourceRequest("cam", url, True)],
        settings,
        bundle=bundle(ScriptedLarge([])),
        listeners=[lambda name, data: seen.append(data)],
        duration_seconds=20.0,
    )
    from egomon.monitor.operations import health

    servers: list[Any] = []
    real = health.OperationsServer

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
        patch.setattr(health, "OperationsServer", Server)
        watch.run(on_tick)
    assert any(isinstance(e, StatusData) and e.error is not None for e in seen)
    assert len(pages) >= 3
    stored = b"".join(path.read_bytes() for path in folder.iterdir())
    return b"".join([*map(encode, seen), *pages, stored, caplog.text.encode()])


def fetch(port: int, page: str) -> bytes:
    from urllib.error import HTTPError

    try:
        with urlopen(f"http://127.0.0.1:{port}/{page}", timeout=5) as answer:
            return bytes(answer.read())
    except HTTPError as error:
        with error:
            return error.read()
