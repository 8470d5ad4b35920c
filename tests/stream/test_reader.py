import threading
from dataclasses import replace

import numpy as np
import pytest
from fakes import NS_PER_SECOND, FrameList, image

from egomon.stream.buffer import RollingBuffer
from egomon.stream.frame import Gaze, Grab
from egomon.stream.reader import SourceReader, Timeline
from egomon.stream.sampling_grid import SamplingGrid
from egomon.stream.worker import Worker


def grab(t: float, mono: float, epoch: int = 0) -> Grab:
    return Grab(t, int(mono * NS_PER_SECOND), 0, 0, epoch, lambda: image(0))


def test_only_frames_on_the_grid_are_converted() -> None:
    converted: list[int] = []
    buffer = RollingBuffer(seconds=100, max_bytes=1 << 30, on_full="wait")

    def prepare(rgb: np.ndarray) -> np.ndarray:
        converted.append(int(rgb[0, 0, 0]))
        return rgb[:8, :8].copy()

    source = FrameList((i / 10, 0, i) for i in range(30))
    producer = SourceReader(source, buffer, grid=SamplingGrid(2.0), prepare=prepare)
    worker = Worker("producer", producer.run)
    worker.start()
    assert worker.join(5)
    assert worker.crash is None
    assert converted == [0, 5, 10, 15, 20, 25]
    assert (producer.counts.decoded, producer.counts.sampled) == (30, 6)
    assert buffer.finished
    assert source.closed


def test_a_frame_is_read_only() -> None:
    buffer = RollingBuffer(seconds=100, max_bytes=1 << 30, on_full="wait")
    producer = SourceReader(
        FrameList([]), buffer, grid=SamplingGrid(2.0), prepare=lambda rgb: rgb.copy()
    )
    producer.take(grab(0.0, 0.0))
    (frame,) = buffer.take(1)
    with pytest.raises(ValueError, match="read-only"):
        frame.image[0, 0, 0] = 1


def test_a_frame_has_the_gaze_of_its_grab() -> None:
    buffer = RollingBuffer(seconds=100, max_bytes=1 << 30, on_full="wait")
    producer = SourceReader(FrameList([]), buffer, grid=SamplingGrid(2.0), prepare=np.copy)
    looked = Gaze(0.25, 0.75, worn=True)
    producer.take(replace(grab(0.0, 0.0), gaze=looked))
    producer.take(grab(0.5, 0.5))
    assert [frame.gaze for frame in buffer.take(2)] == [looked, None]


def test_a_range_skips_its_beginning_and_ends_the_source() -> None:
    buffer = RollingBuffer(seconds=100, max_bytes=1 << 30, on_full="wait")
    source = FrameList((i / 10, 0, i) for i in range(100))
    producer = SourceReader(
        source,
        buffer,
        grid=SamplingGrid(10.0),
        prepare=lambda rgb: rgb,
        range_seconds=(2.0, 3.0),
    )
    producer.run(Worker("producer", lambda worker: None))
    assert [round(f.t_seconds, 1) for f in buffer.take(99)] == [2.0 + i / 10 for i in range(10)]


def test_a_stream_that_starts_its_clock_anew_goes_on_where_the_clock_says() -> None:
    line = Timeline()
    assert line.place(grab(5.0, 100.0)) == 5.0
    assert line.place(grab(0.0, 103.0, epoch=1)) == pytest.approx(8.0)
    assert line.place(grab(0.5, 103.5, epoch=1)) == pytest.approx(8.5)
    assert line.place(grab(9.0, 200.0, epoch=2)) == pytest.approx(17.0)


def test_a_crash_in_the_source_reaches_the_owner_and_ends_the_buffer() -> None:
    def fail(index: int) -> None:
        if index == 3:
            raise RuntimeError("camera on fire")

    buffer = RollingBuffer(seconds=100, max_bytes=1 << 30, on_full="wait")
    source = FrameList(((i / 10, 0, i) for i in range(10)), on_read=fail)
    producer = SourceReader(source, buffer, grid=SamplingGrid(10.0), prepare=lambda rgb: rgb)
    told = threading.Event()
    worker = Worker("producer", producer.run, on_crash=lambda w: told.set())
    worker.start()
    assert told.wait(5)
    assert str(worker.crash) == "camera on fire"
    assert buffer.finished
    assert source.closed


def test_frames_beside_the_grid_come_with_the_next_one_where_they_are_wanted() -> None:
    buffer = RollingBuffer(seconds=100, max_bytes=1 << 30, on_full="wait")
    converted: list[int] = []

    def detail(rgb: np.ndarray) -> np.ndarray:
        converted.append(int(rgb[0, 0, 0]))
        return np.array(rgb)

    producer = SourceReader(
        FrameList([]),
        buffer,
        grid=SamplingGrid(2.0),
        prepare=np.copy,
        detail=detail,
        between=lambda t: t < 0.95,
    )
    for k in range(11):
        producer.take(replace(grab(k / 10, k / 10), to_rgb=lambda k=k: image(k)))
    found = {f.t_seconds: [d.t_seconds for d in f.between] for f in buffer.take(9)}
    assert found == {0.0: [], 0.5: [0.1, 0.2, 0.3, 0.4], 1.0: [0.6, 0.7, 0.8, 0.9]}
    assert converted == list(range(11))


def test_frames_beside_the_grid_are_forgotten_where_the_stream_breaks() -> None:
    buffer = RollingBuffer(seconds=100, max_bytes=1 << 30, on_full="wait")
    producer = SourceReader(
        FrameList([]),
        buffer,
        grid=SamplingGrid(2.0),
        prepare=np.copy,
        detail=np.copy,
        between=lambda t: True,
    )
    for t, epoch in ((0.0, 0), (0.1, 0), (0.2, 0), (0.3, 1), (0.5, 1)):
        producer.take(grab(t, t, epoch))
    first, second = buffer.take(9)
    assert [d.t_seconds for d in second.between] == [0.3]
    assert second.nbytes == first.nbytes + second.between[0].image.nbytes


def test_a_grid_goes_on_after_a_frame_that_was_sampled_before() -> None:
    whole, rest = SamplingGrid(4.0), SamplingGrid(4.0, after_seconds=0.52)
    times = [k / 30 for k in range(60)]
    sampled = [t for t in times if whole.accepts(t)]
    assert [t for t in times if rest.accepts(t)] == [t for t in sampled if t > 0.52]
