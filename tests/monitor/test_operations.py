"""What clients may ask a running monitor to do: picture, silence, another bundle, the end."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from fakes import FakeClock, FrameList, frame
from test_monitor import bright_at, bundle, monitor

from egomon.config_sections import ModelSettings
from egomon.errors import BundleError, StoreError
from egomon.fusion.messages.types import StatusData
from egomon.fusion.sinks.sink import Mute
from egomon.fusion.store.events import EventStore
from egomon.fusion.transport.control_server import StoreControl
from egomon.fusion.transport.control_verbs import answer
from egomon.monitor.operations import control
from egomon.monitor.operations.control import MonitorOperations


def camera(name: str = "cam0", value: int = 200) -> Any:
    """An input whose newest frame is one plain picture."""
    newest = frame(0.0, value=value, px=64)
    return SimpleNamespace(name=name, size=(64, 64), buffer=SimpleNamespace(latest=lambda: newest))


class Asked:
    """Operations of a monitor that notes what it was told, behind the request handler."""

    def __init__(self, **others: Path) -> None:
        self.done: list[object] = []
        self.clock = FakeClock()
        self.operations = MonitorOperations(
            [camera(), SimpleNamespace(name="dark", buffer=SimpleNamespace(latest=lambda: None))],
            ModelSettings(others=dict(others)),
            stop=lambda: self.done.append("stop"),
            exchange=self.done.append,
        )
        self.operations.mute_with = Mute(self.clock)
        self.handler = StoreControl(
            EventStore(None),
            lambda prefix: None,  # type: ignore[arg-type, return-value]
            reset_context=lambda source: False,
            stats=dict,
            operations=self.operations,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(answer(json.dumps(request).encode(), self.handler, "b"))
        return found


def test_the_newest_picture_of_a_source_is_a_jpeg() -> None:
    asked = Asked()
    reply = asked.ask(verb="picture", source="cam0")
    data = np.frombuffer(base64.b64decode(reply["picture"]), np.uint8)
    assert reply["media_type"] == "image/jpeg"
    assert abs(float(cv2.imdecode(data, cv2.IMREAD_COLOR).mean()) - 200) < 3
    for source in ("dark", "nobody"):
        assert asked.ask(verb="picture", source=source)["error"]["code"] == "not_found"


def test_no_picture_leaves_where_faces_cannot_be_covered() -> None:
    asked = Asked()

    def fails(frames: object, size: object) -> list[Any]:
        raise StoreError("no detector")

    asked.operations.blur = SimpleNamespace(frames=fails)  # type: ignore[assignment]
    reply = asked.ask(verb="picture", source="cam0")
    assert not reply["ok"]
    assert "picture" not in reply


def test_speech_is_silent_for_so_long_and_zero_ends_it() -> None:
    asked, heard = Asked(), list[float]()
    asked.operations.on_mute = heard.append
    assert not asked.operations.mute_with.is_on
    assert asked.ask(verb="mute", seconds=60)["ok"]
    asked.clock.now = 59.0
    assert asked.operations.mute_with.is_on
    asked.clock.now = 60.0
    assert not asked.operations.mute_with.is_on
    asked.ask(verb="mute", seconds=60)
    asked.ask(verb="mute", seconds=0)
    assert not asked.operations.mute_with.is_on
    assert heard == [60.0, 60.0, 0.0], "the page shows it, whoever asked for it"
    for seconds in (-1, 1e9, "long", None):
        assert asked.ask(verb="mute", seconds=seconds)["error"]["code"] == "bad_request"


def test_a_bundle_is_asked_for_by_a_name_of_the_settings_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[str] = []

    def load(ref: str, **options: object) -> str:
        loaded.append(ref)
        if ref == "/broken":
            raise BundleError("it is damaged")
        return ref

    monkeypatch.setattr(control, "load_bundle", load)
    asked = Asked(tea=Path("/data/tea"), broken=Path("/broken"))
    for name in ("/data/tea", "../tea", "coffee", ""):
        assert asked.ask(verb="model", model=name)["error"]["code"] in ("not_found", "bad_request")
    asked.operations.work()
    assert not loaded
    assert asked.ask(verb="model", model="tea")["ok"]
    assert not loaded, "the thread of requests waits for no bundle"
    asked.operations.work()
    asked.operations.work()
    assert asked.done == ["/data/tea"]
    asked.ask(verb="model", model="broken")
    asked.operations.work()
    assert asked.done == ["/data/tea"]
    assert asked.operations.fault == "the bundle broken is not in use: it is damaged"
    asked.ask(verb="model", model="tea")
    asked.operations.work()
    assert asked.operations.fault is None


def test_the_run_is_ended_and_a_recorded_session_does_nothing_of_this() -> None:
    asked = Asked()
    assert asked.ask(verb="stop")["ok"]
    assert asked.done == ["stop"]
    asked.handler.operations = None
    for request in ({"verb": "stop"}, {"verb": "mute", "seconds": 1}):
        assert asked.ask(**request)["error"]["code"] == "unsupported"


def test_a_live_run_tells_that_a_bundle_could_not_be_used_and_ends_when_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(control, "load_bundle", lambda ref, **options: bundle(None))
    source = FrameList(bright_at((10, 14), seconds=600), kind="live")
    watch, events = monitor(source, live=True)

    def on_read(index: int) -> None:
        watch.inputs[0].ready.wait(10)
        if index == 50:
            watch.operations.model("workbench")  # has a large branch: not while watching

    def on_tick() -> None:
        if any(isinstance(e, StatusData) and e.error is not None for e in events):
            watch.operations.stop()

    source.on_read = on_read
    summary = watch.run(on_tick)
    assert summary.stopped_by == "shutdown"
    codes = {e.error.code for e in events if isinstance(e, StatusData) and e.error is not None}
    assert codes == {"MODEL_REJECTED"}
