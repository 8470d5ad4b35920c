"""Another bundle while the camera runs: nothing is opened anew, no alert is mixed up."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from fakes import BrightnessBranch, BrightnessEncoder, FrameList
from test_monitor import CARD, alerts, bright_at, bundle, monitor

from egomon.errors import BundleError, UsageError
from egomon.fusion.messages.types import AlertData, Data, SegmentData
from egomon.monitor.exchange import BundleExchange
from egomon.stream.frame import UInt8Image


class BigEncoder(BrightnessEncoder):
    """Takes pictures of another size."""

    image_px = 24

    def prepare(self, rgb: UInt8Image) -> UInt8Image:
        return np.full((24, 24, 3), rgb[0, 0, 0], np.uint8)


def taught() -> SimpleNamespace:
    """A bundle with one branch, another encoder and another rate of frames."""
    stream = msgspec.structs.replace(CARD.stream, fps=5.0)
    other = bundle(None)
    other.card = msgspec.structs.replace(CARD, name="own", large=None, gate=None, stream=stream)
    other.model_id, other.encoder, other.small = "own@11111111", BigEncoder(), BrightnessBranch()
    return other


def test_a_live_run_goes_on_with_the_other_bundle_and_the_camera_stays_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = FrameList(bright_at((10, 40), seconds=40), kind="live")
    watch, events = monitor(source, live=True)
    opened, turned = threading.Event(), threading.Event()
    turn_to = BundleExchange._turn_to

    def turn(exchange: BundleExchange, *given: Any) -> None:
        turn_to(exchange, *given)
        turned.set()

    monkeypatch.setattr(BundleExchange, "_turn_to", turn)

    def hear(name: str, data: Data) -> None:
        if isinstance(data, AlertData):
            opened.set()

    watch._listeners = (*watch._listeners, hear)

    def on_read(index: int) -> None:
        watch.inputs[0].ready.wait(10)
        if index == 200:
            assert opened.wait(10)
            watch.exchange(taught())  # type: ignore[arg-type]
        if index == 201:  # a camera does not see twenty seconds in that moment
            assert turned.wait(10)

    source.on_read = on_read
    summary = watch.run()
    found = alerts(events)
    old = [alert for alert in found if alert.model == "fake@00000000"]
    new = [alert for alert in found if alert.model == "own@11111111"]
    assert old[0].phase == "new"
    assert (old[-1].phase, old[-1].reason) == ("end", "context_reset")
    assert (new[0].phase, new[-1].phase) == ("new", "end")
    assert found.index(old[-1]) < found.index(new[0])
    assert new[0].segment.media_start >= 20.0
    assert new[0].alert_id not in {alert.alert_id for alert in old}
    assert summary.model == "own@11111111"
    assert summary.frames["decoded"] >= 399  # one comes while the models load
    assert not summary.degraded
    segments = [each.segment for each in events if isinstance(each, SegmentData)]
    assert len({(each.epoch, each.id) for each in segments}) == len(segments)


def test_a_bundle_with_a_large_branch_is_refused_and_the_old_one_goes_on() -> None:
    source = FrameList(bright_at((10, 14), seconds=20), kind="live")
    watch, events = monitor(source, live=True)
    refused: list[str] = []

    def on_read(index: int) -> None:
        watch.inputs[0].ready.wait(10)
        if index == 50:
            with pytest.raises(BundleError, match="has a large branch") as caught:
                watch.exchange(bundle(None))
            refused.append(str(caught.value))

    source.on_read = on_read
    assert watch.run().model == "fake@00000000"
    assert refused
    assert alerts(events)


def test_before_it_watches_and_in_a_replay_nothing_is_exchanged() -> None:
    watch, _ = monitor(FrameList(bright_at(seconds=2)))
    with pytest.raises(UsageError, match="only a live run"):
        watch.exchange(taught())  # type: ignore[arg-type]
    watch.run()
    with pytest.raises(UsageError, match="only a live run"):
        watch.exchange(taught())  # type: ignore[arg-type]
