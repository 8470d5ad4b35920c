"""The shipped suites: what keeps the contract passes, and each broken promise is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from egomon.fusion.messages.message import Message
from egomon.fusion.sinks.sink import SinkContext
from egomon.stream.frame import Grab
from egomon.testing import (
    BrightnessEncoder,
    FrameList,
    check_encoder,
    check_sink,
    check_source,
)

TEN = [(number / 10, 0, number) for number in range(10)]


def test_a_source_of_made_up_frames_keeps_the_contract() -> None:
    assert check_source(lambda: FrameList(TEN)) == [(t, 0, round(t * 10)) for t, _, _ in TEN]
    assert len(check_source(lambda: FrameList(TEN, kind="live"), frames=4)) == 4


def changed(**values: Any) -> Callable[[], FrameList]:
    """A source whose frames say something else from the second on."""

    class Changed(FrameList):
        def read(self) -> Grab | None:
            grab = super().read()
            return grab if grab is None or grab.index == 0 else replace(grab, **values)

    return lambda: Changed(TEN)


class Deaf(FrameList):
    """Does not care that it was closed."""

    def close(self) -> None:
        """Nothing."""


class Blocked(FrameList):
    """Waits for ever in its third read."""

    def read(self) -> Grab | None:
        grab = super().read()
        if grab is not None and grab.index == 2:
            threading.Event().wait(60)
        return grab


class Grey(FrameList):
    """Pictures without colours."""

    def read(self) -> Grab | None:
        grab = super().read()
        return grab and replace(grab, to_rgb=lambda: np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda: object(), "type object is no source"),
        (lambda: FrameList(TEN[:2]), "3 frames were expected, 2 came"),
        (lambda: FrameList([(1.0, 0, 0)]), "the first frame is at 1.0 s, not at 0"),
        (lambda: FrameList(TEN, name="My Cam"), "info.name is 'My Cam'"),
        (lambda: FrameList(TEN, kind="tape"), "info.kind is 'tape'"),  # type: ignore[arg-type]
        (lambda: FrameList(TEN, px=0), "after a frame info.width and info.height are"),
        (changed(t_seconds=0.1), "t_seconds goes from 0.1 to 0.1"),
        (changed(t_seconds=float("nan")), "t_seconds is nan"),
        (changed(index=1), "frame 1: the index does not grow after 1"),
        (changed(mono_ns=-1), "mono_ns goes back"),
        (lambda: Grey(TEN), r"shape \(4, 4\), not \(H, W, 3\)"),
        (lambda: Deaf(TEN), "a source that was closed still gives frames"),
        (
            lambda: Blocked(TEN, kind="live"),
            "read goes on 2 s after close was called from another thread",
        ),
    ],
)
def test_a_source_that_breaks_a_promise_is_told_which(factory: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_source(factory, frames=2 if "read goes on" in message else 3)


def test_an_encoder_of_brightness_keeps_the_contract() -> None:
    check_encoder(BrightnessEncoder())


class Encoder(BrightnessEncoder):
    """Broken in one place."""

    def __init__(self, **broken: Any) -> None:
        super().__init__()
        self.__dict__.update(broken)


def beside(images: np.ndarray) -> np.ndarray:
    level = images.reshape(len(images), -1).mean(axis=1)
    return np.stack([level, level - level.mean()], axis=1).astype(np.float32)


KEPT = np.zeros((8, 8, 3), np.uint8)
COUNT = iter(range(10**6))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"image_px": 0}, "image_px is 0"),
        ({"dim": 3}, r"not \(3, 3\) float32"),
        ({"prepare": lambda rgb: rgb}, r"prepare gives \(48, 64, 3\) uint8"),
        ({"prepare": lambda rgb: KEPT}, "prepare gives the same array twice"),
        ({"prepare": lambda rgb: np.full((8, 8, 3), next(COUNT), np.uint8)}, "another result"),
        ({"encode": lambda images: np.zeros((len(images), 2))}, "float64"),
        ({"encode": lambda images: np.zeros((len(images), 2), np.float32)}, "one vector for two"),
        (
            {"encode": lambda images: np.full((len(images), 2), np.nan, np.float32)},
            "not finite",
        ),
        (
            {"encode": lambda images: np.full((len(images), 2), next(COUNT), np.float32)},
            "other vectors the second time",
        ),
        ({"encode": beside}, "depends on the frames beside it"),
    ],
)
def test_an_encoder_that_breaks_a_promise_is_told_which(
    broken: dict[str, Any], message: str
) -> None:
    with pytest.raises(AssertionError, match=message):
        check_encoder(Encoder(**broken))


class Sink:
    """Keeps the contract; subclasses do not."""

    def open(self, context: SinkContext) -> None:
        self.owner = threading.get_ident()

    def send(self, message: Message) -> None:
        assert self.owner == threading.get_ident()

    def close(self) -> None:
        """Nothing to release."""


class NotOpened(Sink):
    def close(self) -> None:
        del self.owner


class Picky(Sink):
    def send(self, message: Message) -> None:
        str(message.attachments[0])


def test_a_sink_is_used_in_one_thread() -> None:
    check_sink(Sink)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (object, "type object is no sink"),
        (NotOpened, "close raises AttributeError"),
        (Picky, "send raises IndexError"),
    ],
)
def test_a_sink_that_breaks_a_promise_is_told_which(factory: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_sink(factory)
