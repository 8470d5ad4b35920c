"""Before watching: requests are answered while models load, and readers know what is going on."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zmq
from fakes import BrightnessEncoder, FrameList

from egomon.config import load_settings
from egomon.errors import BundleError
from egomon.fusion.messages.types import Data, StatusData
from egomon.fusion.store.events import EventStore
from egomon.fusion.transport.control_client import ControlClient
from egomon.fusion.transport.control_server import StoreControl
from egomon.fusion.transport.server import EventServer
from egomon.monitor import Monitor, SourceRequest
from egomon.monitor.loading import announced, wait_serving
from egomon.monitor.services import wait_for_subscriber
from egomon.monitor.workers import model_loader
from egomon.monitor.workers.model_loader import ModelLoader, warm_up
from egomon.monitor.workers.request_worker import RequestWorker
from egomon.stream.channel import WakeUp

SETTINGS = load_settings(
    None, {"bus": {"publish": (), "control": "none"}, "store": {"path": "none"}}
)

Loader = Callable[[Callable[[], Any]], ModelLoader]


def plan(load_large: Callable[[object], object] | None = None, **more: object) -> Any:
    """What a `ModelLoader` makes, with a large branch where there is something to load it."""
    bundle = SimpleNamespace(load_large=load_large)
    return SimpleNamespace(use_large=load_large is not None, bundle=bundle, **more)


@pytest.fixture
def loader(monkeypatch: pytest.MonkeyPatch) -> Loader:
    """A `ModelLoader` whose plan comes from a function."""

    def make(load: Callable[[], Any]) -> ModelLoader:
        monkeypatch.setattr(model_loader, "load_models", lambda model, live: load())
        monkeypatch.setattr(model_loader, "make_plan", lambda bundle, settings: bundle)
        return ModelLoader(SETTINGS, live=False)

    return make


@pytest.fixture
def answering(
    loader: Loader,
) -> Iterator[Callable[[Any], Any]]:
    """`wait_serving` on a bus of its own; `load` is given an asking client."""
    with (
        zmq.Context() as context,
        EventStore(None) as store,
        EventServer(("tcp://127.0.0.1:*",), "tcp://127.0.0.1:*", host="h", boot="b") as bus,
    ):
        control = StoreControl(
            store, bus.snapshot, reset_context=lambda source: False, stats=lambda: {}
        )
        wake = WakeUp()

        def run(load: Callable[[ControlClient], Any]) -> Any:
            def body() -> Any:
                """The plan, with what `load` gave."""
                assert bus.control_endpoint is not None
                client = ControlClient(bus.control_endpoint, context=context, timeout_seconds=10)
                try:
                    return plan(found=load(client))
                finally:
                    client.socket.close(0)

            attacher: Any = SimpleNamespace(emit=bus.publish)
            with RequestWorker(bus, control), announced(attacher, ["cam"]):
                return wait_serving(loader(body), bus, wake).found  # type: ignore[attr-defined]

        yield run
        wake.close()


def test_requests_are_answered_while_models_load(answering: Callable[[Any], Any]) -> None:
    def load(client: ControlClient) -> tuple[Any, Any]:
        return client.request("hello"), client.request("snapshot")

    hello, snapshot = answering(load)
    assert hello["ok"]
    (event,) = snapshot["events"]
    assert event["topic"] == "egomon/1/cam/status/"
    assert event["envelope"]["data"]["source_state"] == "connecting"


def test_what_stops_a_load_is_raised_as_it_was(answering: Callable[[Any], Any]) -> None:
    error = BundleError("weights are gone")

    def load(client: ControlClient) -> None:
        raise error

    with pytest.raises(BundleError) as caught:
        answering(load)
    assert caught.value is error


def test_a_large_branch_is_loaded_while_the_plan_is_in_use(loader: Loader) -> None:
    asked, branch = threading.Event(), object()

    def load_large(endpoint: object) -> object:
        assert endpoint is None
        assert asked.wait(10)
        return branch

    models = loader(lambda: plan(load_large))
    with EventServer((), None, host="h", boot="b") as bus:
        wake = WakeUp()
        assert wait_serving(models, bus, wake).use_large
        wake.close()
    asked.set()
    assert models.large() is branch


def test_a_large_branch_that_cannot_be_loaded_ends_no_run_but_raises_for_who_asks(
    loader: Loader,
) -> None:
    error = BundleError("weights are gone")

    def load_large(endpoint: object) -> None:
        raise error

    models = loader(lambda: plan(load_large))
    for _ in range(2):
        with pytest.raises(BundleError) as caught:
            models.large()
        assert caught.value is error
    assert models.plan is not None


def test_nothing_more_is_loaded_for_a_run_that_is_over(loader: Loader) -> None:
    over, begun = threading.Event(), []

    def load() -> Any:
        assert over.wait(10)
        return plan(begun.append)

    models = loader(load)
    models.abandon()
    over.set()
    with pytest.raises(AssertionError):
        models.large()
    assert models.plan is not None
    assert begun == []


PROGRAM = """
import atexit
import threading
from egomon.config import load_settings
from egomon.monitor.workers import model_loader

ending = threading.Event()

def load_models(model, live):
    ending.wait(20)
    threading.Event().wait(0.3)  # the call
    print("ended by itself", flush=True)
    raise SystemExit

model_loader.load_models = load_models
model_loader.ModelLoader(load_settings(), live=False)
atexit.register(ending.set)
"""


def test_python_waits_for_models_that_load(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (0, "ended by itself\n"), ended.stderr


def test_sources_of_a_model_that_cannot_be_loaded_are_told_to_be_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load_bundle(name: str, **options: object) -> None:
        raise BundleError("weights are gone")

    monkeypatch.setattr(model_loader, "load_bundle", load_bundle)
    events: list[Data] = []
    watch = Monitor(
        [SourceRequest("cam", "cam", True, FrameList([(0.0, 0, 10)], kind="live"))],
        load_settings(None, {"bus": {"publish": (), "control": "none"}, "store": {"path": "none"}}),
        listeners=[lambda name, data: events.append(data)],
    )
    with pytest.raises(BundleError, match="weights are gone"):
        watch.run()
    states = [event.source_state for event in events if isinstance(event, StatusData)]
    assert states == ["connecting", "ended"]


def test_an_encoder_is_warmed_up_with_one_frame_of_its_size() -> None:
    shapes = []

    class Noted(BrightnessEncoder):
        def encode(self, images: Any) -> Any:
            shapes.append((images.shape, images.dtype))
            return super().encode(images)

    encoder = Noted()
    warm_up(SimpleNamespace(encoder=encoder))  # type: ignore[arg-type]
    assert shapes == [((1, encoder.image_px, encoder.image_px, 3), np.uint8)]


def test_a_run_waits_for_its_first_subscriber_and_no_longer_than_it_was_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Bus(SimpleNamespace):
        subscriptions, served = 0, 0

        def serve(self) -> None:
            self.served += 1
            self.subscriptions = int(self.served == 3)

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            return self.is_set()

    bus, stop = Bus(), Stop()
    wait_for_subscriber(bus, 6.0, stop, clock=lambda: 0.0)  # type: ignore[arg-type]
    assert (bus.served, caplog.text) == (3, "")
    moments = iter((0.0, 5.9, 6.0))
    bus = Bus()
    wait_for_subscriber(bus, 6.0, stop, clock=lambda: next(moments))  # type: ignore[arg-type]
    assert bus.served == 1
    assert "nobody has subscribed within 6 s" in caplog.text
    stop.set()
    wait_for_subscriber(Bus(), 6.0, stop, clock=lambda: 0.0)  # type: ignore[arg-type]
