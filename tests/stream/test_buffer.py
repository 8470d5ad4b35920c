import threading

import pytest
from fakes import FakeClock, frame

from egomon.stream.buffer import LEAST_UNREAD_FRAMES, RollingBuffer
from egomon.stream.source import Discontinuity

MB = 1 << 20


def live(clock: FakeClock, **options: object) -> tuple[RollingBuffer, list[Discontinuity]]:
    gaps: list[Discontinuity] = []
    settings: dict[str, object] = {"seconds": 10.0, "max_bytes": MB, "staleness_seconds": 0.5}
    buffer = RollingBuffer(
        **{**settings, **options},  # type: ignore[arg-type]
        on_full="drop_oldest",
        on_gap=gaps.append,
        clock=clock,
    )
    return buffer, gaps


def test_frames_come_out_once_and_in_order() -> None:
    buffer, _ = live(FakeClock())
    for i in range(5):
        assert buffer.push(frame(i * 0.1, index=i))
    assert [f.index for f in buffer.take(3)] == [0, 1, 2]
    assert [f.index for f in buffer.take(3)] == [3, 4]
    assert buffer.take(3) == []


def test_read_frames_stay_for_clips_until_they_are_too_old() -> None:
    buffer, _ = live(FakeClock(), seconds=2.0)
    for i in range(30):
        buffer.push(frame(i * 0.25, index=i))
        buffer.take(8)
    assert [f.t_seconds for f in buffer.window(5.0, 6.0, 0)] == [5.25, 5.5, 5.75]
    assert buffer.window(6.0, 6.5, epoch=1) == []


def test_bytes_are_bounded_and_what_was_read_goes_first() -> None:
    bound = 40 * 8 * 8 * 3
    buffer, gaps = live(FakeClock(), max_bytes=bound)
    for i in range(500):
        buffer.push(frame(i * 0.01, index=i))
        buffer.take(8)
    assert buffer.nbytes <= bound
    assert gaps == []


def test_a_full_live_buffer_drops_the_oldest_and_counts_it() -> None:
    buffer, gaps = live(FakeClock(), max_bytes=1, staleness_seconds=1e9)
    for i in range(LEAST_UNREAD_FRAMES + 3):
        buffer.push(frame(i * 0.1, index=i))
    assert buffer.dropped == {"buffer_full": 3}
    assert sum(gap.count for gap in gaps) == 3
    assert gaps[0].from_seconds == 0.0
    assert buffer.take(1)[0].index == 3


def test_frames_that_are_being_judged_outlive_stale_ones() -> None:
    clock = FakeClock()
    buffer, gaps = live(clock)
    for i in range(4):
        clock.now = i * 0.1
        buffer.push(frame(clock.now, index=i))
    assert [f.index for f in buffer.take(2)] == [0, 1]
    clock.now = 5.0
    buffer.push(frame(5.0, index=50))
    assert [f.index for f in buffer.take(2)] == [50]
    assert [gap.count for gap in gaps] == [2]
    assert [f.index for f in buffer.window(0.0, 9.0, 0)] == [0, 1, 50]


def test_stale_live_frames_are_dropped_but_never_the_newest() -> None:
    clock = FakeClock()
    buffer, gaps = live(clock)
    for i in range(10):
        buffer.push(frame(i * 0.1, index=i))
    clock.now = 1.25
    assert [f.index for f in buffer.take(8)] == [8, 9]
    assert gaps == [Discontinuity("staleness", 8, 0.0, pytest.approx(0.7))]
    buffer.push(frame(1.3, index=10))
    clock.now = 100.0
    assert [f.index for f in buffer.take(8)] == [10]


def test_a_file_waits_for_its_reader_and_loses_nothing() -> None:
    buffer = RollingBuffer(seconds=1.0, max_bytes=1, on_full="wait")
    count = 5 * LEAST_UNREAD_FRAMES

    def produce() -> None:
        for i in range(count):
            buffer.push(frame(i * 0.1, index=i))
        buffer.finish()

    producer = threading.Thread(target=produce)
    producer.start()
    seen: list[int] = []
    while not (buffer.finished and not buffer.unread):
        with buffer.condition:
            buffer.condition.wait_for(lambda: buffer.unread > 0 or buffer.finished, timeout=5)
        assert buffer.unread <= LEAST_UNREAD_FRAMES
        seen += [f.index for f in buffer.take(7)]
    producer.join(5)
    assert seen == list(range(count))
    assert buffer.dropped == {}


def test_a_finished_buffer_frees_a_waiting_producer() -> None:
    buffer = RollingBuffer(seconds=1.0, max_bytes=1, on_full="wait")
    for i in range(LEAST_UNREAD_FRAMES):
        buffer.push(frame(i * 0.1))
    answers: list[bool] = []
    producer = threading.Thread(target=lambda: answers.append(buffer.push(frame(99.0))))
    producer.start()
    buffer.finish()
    producer.join(5)
    assert answers == [False]


def test_a_fast_file_does_not_push_out_the_pixels_of_a_segment_before_it_is_scored() -> None:
    buffer = RollingBuffer(seconds=10.0, max_bytes=MB, on_full="wait")
    for i in range(32):
        buffer.push(frame(i * 0.25, index=i))
    buffer.take(16)  # the reader stands at 4 s, and the decoder goes on as far as it may
    for i in range(32, 50):
        buffer.push(frame(i * 0.25, index=i))
    assert [f.index for f in buffer.window(0.0, 4.0, 0)] == list(range(16))
