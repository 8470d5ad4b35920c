"""The small worker's loop: which frames it encodes together, and when it waits for more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NoReturn

import pytest
from fakes import NS_PER_SECOND, BrightnessBranch, BrightnessEncoder, FakeClock, frame

from egomon.branches.bundle.card import StreamCard
from egomon.branches.segment_scorer import ScoringModels, SegmentScorer
from egomon.monitor.messages import Scored
from egomon.monitor.workers.inference_worker import InferenceWorker, ScoredSource
from egomon.stream.buffer import RollingBuffer
from egomon.stream.channel import Channel
from egomon.stream.segmenter import FixedWindows
from egomon.stream.source import Discontinuity

PERIOD = 0.25


class Waits(threading.Condition):
    """A wait moves the clock and lets something happen, instead of waiting."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock
        self.happens: list[Callable[[], object]] = []
        self.waited: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waited.append(timeout)
        if self.happens:
            self.happens.pop(0)()
            return True
        self.clock.now += timeout
        return False


class Bench:
    """Live cameras with windows of one second, and a loop over them."""

    def __init__(self, cameras: int) -> None:
        self.clock = FakeClock(100.0)
        self.condition = Waits(self.clock)
        self.encoder = BrightnessEncoder()
        self.buffers = [self._buffer() for _ in range(cameras)]
        self.inbox: Channel[Scored] = Channel(64)
        self.branch = BrightnessBranch()
        self.gaps: list[Discontinuity] = []
        made = [
            ScoredSource(self._scorer(i), buffer, in_whole_batches=False, on_gap=self.gaps.append)
            for i, buffer in enumerate(self.buffers)
        ]
        self.loop = InferenceWorker(self.encoder, made, self.inbox, self.condition)

    def _buffer(self) -> RollingBuffer:
        return RollingBuffer(
            seconds=15.0,
            max_bytes=1 << 20,
            on_full="drop_oldest",
            staleness_seconds=0.5,
            condition=self.condition,
            clock=self.clock,
        )

    def _scorer(self, number: int) -> SegmentScorer:
        card = StreamCard(fps=4.0, length_seconds=1.0, stride_seconds=1.0)
        segmenter = FixedWindows(length_seconds=1.0, stride_seconds=1.0, period_seconds=PERIOD)
        return SegmentScorer(f"cam{number}", ScoringModels(self.branch, card, 2), segmenter)

    def film(self, camera: int, point: int) -> None:
        """A frame arrives now."""
        made = frame(point * PERIOD, index=point)
        object.__setattr__(made, "mono_ns", int(self.clock.now * NS_PER_SECOND))
        self.buffers[camera].push(made)


def test_one_camera_never_waits_with_a_frame_in_hand() -> None:
    bench = Bench(1)
    for point in range(4):
        bench.film(0, point)
        bench.loop.step()
    assert bench.encoder.batches == [1, 1, 1, 1]
    assert bench.condition.waited == []


def test_frames_of_several_cameras_are_encoded_together() -> None:
    bench = Bench(3)
    for camera in range(3):
        bench.film(camera, 0)
    bench.loop.step()  # first frames: where windows begin is not known yet
    bench.condition.happens = [lambda: bench.film(1, 1), lambda: bench.film(2, 1)]
    bench.film(0, 1)
    bench.loop.step()
    assert bench.encoder.batches == [3, 3]
    assert bench.condition.waited[-1] <= 0.25


def test_a_frame_waits_for_others_at_most_half_of_the_staleness_budget() -> None:
    bench = Bench(2)
    bench.film(0, 0)
    bench.loop.step()
    bench.film(0, 1)
    bench.clock.now += 0.2  # it arrived while another batch was encoded
    bench.loop.step()
    assert bench.encoder.batches == [1, 1]
    assert sum(bench.condition.waited) <= 0.05 + 1e-6
    assert bench.buffers[0].dropped == {}


def test_the_frame_that_ends_a_segment_waits_for_nobody() -> None:
    bench = Bench(2)
    for point in range(3):
        bench.film(0, point)
    bench.loop.step()
    before = list(bench.condition.waited)
    bench.film(1, 0)
    bench.loop.step()
    bench.film(0, 3)
    bench.loop.step()
    assert bench.encoder.batches == [3, 1, 1]
    assert bench.condition.waited == before
    assert any(getattr(event, "segment", None) is not None for event in _drain(bench.inbox))


def test_frames_that_a_crash_costs_are_told_and_the_next_batch_is_scored() -> None:
    bench = Bench(1)
    score = bench.branch.score

    def crash(*_: object) -> NoReturn:
        raise RuntimeError("out of luck")

    bench.branch.score = crash  # type: ignore[method-assign]
    for point in range(6):
        bench.film(0, point)
    with pytest.raises(RuntimeError, match="out of luck"):
        bench.loop.step()  # at the fourth frame, which ends a window
    assert bench.gaps == [Discontinuity("crash", 2, 4 * PERIOD, 5 * PERIOD)]
    bench.branch.score = score  # type: ignore[method-assign]
    for point in range(6, 12):
        bench.film(0, point)
    bench.loop.step()
    assert any(getattr(event, "segment", None) is not None for event in _drain(bench.inbox))
    assert len(bench.gaps) == 1


def test_a_full_batch_is_not_held_back() -> None:
    bench = Bench(2)
    bench.film(0, 0)
    bench.film(1, 0)
    bench.loop.step()
    for point in (1, 2):
        bench.film(0, point)
    for point in (1, 2):
        bench.film(1, point)
    for buffer in bench.buffers:
        buffer.staleness_seconds = 100.0
    bench.condition.happens = [
        lambda: [bench.film(0, 2.1), bench.film(1, 2.1), bench.film(0, 2.2), bench.film(1, 2.2)]
    ]
    bench.loop.step()
    assert bench.encoder.batches == [2, 8]


def _drain(channel: Channel[Scored]) -> list[Scored]:
    found = []
    while (item := channel.get(0)) is not None:
        found.append(item)
    return found
