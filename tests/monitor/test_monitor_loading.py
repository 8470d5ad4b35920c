"""Before watching: requests are answered while models load, and readers know what is going on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
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
from egomon.monitor import Monitor, SourceRequest, loading
from egomon.monitor.loading import announced, load_serving, warm_up
from egomon.monitor.services import wait_for_subscriber
from egomon.monitor.workers.request_worker import RequestWorker
from egomon.stream.channel import WakeUp


@pytest.fixture
def answering() -> Iterator[Callable[[Any], Any]]:
    """`load_serving` on a bus of its own; `load` is given an asking client."""
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
                assert bus.control_endpoint is not None
                client = ControlClient(bus.control_endpoint, context=context, timeout_seconds=10)
                try:
                    return load(client)
                finally:
                    client.socket.close(0)

            attacher: Any = SimpleNamespace(emit=bus.publish)
            with RequestWorker(bus, control), announced(attacher, ["cam"]):
                return load_serving(body, bus, wake)

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


def test_sources_of_a_model_that_cannot_be_loaded_are_told_to_be_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load_bundle(name: str, **options: object) -> None:
        raise BundleError("weights are gone")

    monkeypatch.setattr(loading, "load_bundle", load_bundle)
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
