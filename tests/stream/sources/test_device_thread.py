from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest

from egomon.errors import SourceLostError
from egomon.stream.source_options import SourceOptions
from egomon.stream.sources.network.connection import RawFrame
from egomon.stream.sources.network.stream import Stream


class Decoder:
    """A `FrameReader` whose frames, like its errors, hold it."""

    packets, size, fps = 0, (8, 8), None

    def __init__(self, gate: threading.Event, *, fails: bool) -> None:
        self._gate, self._fails = gate, fails

    def next(self) -> RawFrame | None:
        assert self._gate.wait(10)
        if self._fails:
            raise SourceLostError("nothing came", code="STREAM_TIMEOUT")
        return RawFrame(0.0, 0, 0, lambda: np.full((8, 8, 3), self.packets, np.uint8))

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def stream_with(decoder: Decoder) -> Stream:
    stream = Stream("rtsp://127.0.0.1:9/", SourceOptions(), threading.Event())
    stream._reader = decoder
    return stream


@pytest.mark.parametrize("fails", [False, True])
def test_a_read_abandoned_in_a_stall_leaves_nothing_to_the_collector(fails: bool) -> None:
    gate = threading.Event()
    decoder = Decoder(gate, fails=fails)
    left, stream = weakref.ref(decoder), stream_with(decoder)
    del decoder
    assert stream.read(0.0) is None
    stream.close()
    gate.set()  # FFmpeg's own time-out, or the camera is back
    stream.thread._thread.join(10)
    assert left() is None


def test_a_read_that_fails_leaves_nothing_to_the_collector() -> None:
    gate = threading.Event()
    gate.set()
    decoder = Decoder(gate, fails=True)
    left, stream = weakref.ref(decoder), stream_with(decoder)
    del decoder
    with suppress(SourceLostError):
        stream.read(10.0)
    stream.close()
    stream.thread._thread.join(10)
    assert left() is None
