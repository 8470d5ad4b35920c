"""Clips of segments: their frames, what is held meanwhile, and the batches that embed them."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from fakes import frame
from made_videos import ClipRange

from egomon.stream.frame import Frame
from egomon.train.extraction.clips import Clip, ClipBatches, ClipCollector, EmbedThread
from egomon.train.features.rows import SegmentRow

Spans = Sequence[tuple[float, float]]


def rows(*spans: tuple[float, float]) -> list[SegmentRow]:
    return [SegmentRow(recording="v", start=start, end=end) for start, end in spans]


def picture(t: float) -> Frame:
    """A frame whose detail tells its second."""
    made = frame(t)
    return Frame(**{name: getattr(made, name) for name in made.__slots__} | {
        "detail": np.full((2, 2, 3), int(t), np.uint8)
    })  # fmt: skip


def shown(clip: Clip) -> tuple[tuple[float, float], list[int], list[float]]:
    return clip.span, [int(image[0, 0, 0]) for image in clip.images], clip.seconds


def test_a_clip_comes_with_the_first_frame_at_or_after_its_end() -> None:
    collector = ClipCollector(rows((1.0, 3.0)), 8)
    assert [collector.push(picture(float(t))) for t in range(3)] == [[], [], []]
    (clip,) = collector.push(picture(3.0))
    assert shown(clip) == ((1.0, 3.0), [1, 2], [0.0, 1.0])
    assert collector.finish() == []


def test_the_end_of_the_video_cuts_what_is_still_open() -> None:
    collector = ClipCollector(rows((1.0, 9.0), (0.0, 2.0)), 8)
    ready = [shown(clip)[0] for t in range(4) for clip in collector.push(picture(float(t)))]
    assert ready == [(0.0, 2.0)]
    assert [shown(clip) for clip in collector.finish()] == [
        ((1.0, 9.0), [1, 2, 3], [0.0, 1.0, 2.0])
    ]


def test_a_segment_without_a_frame_takes_the_one_before_it_or_the_first() -> None:
    collector = ClipCollector(rows((2.2, 2.8), (0.0, 0.5)), 8, times=[])
    found = [shown(clip) for t in range(1, 5) for clip in collector.push(picture(float(t)))]
    assert found == [
        ((0.0, 0.5), [1], [1.0]),
        ((2.2, 2.8), [2], [pytest.approx(-0.2)]),
    ]


def test_a_clip_of_many_frames_is_thinned_evenly() -> None:
    collector = ClipCollector(rows((0.0, 9.0)), 3)
    for t in range(9):
        collector.push(picture(float(t)))
    assert [shown(clip)[1] for clip in collector.finish()] == [[0, 4, 8]]


def test_the_same_segment_twice_is_one_clip_and_segments_come_as_they_end() -> None:
    collector = ClipCollector(rows((2.0, 4.0), (0.0, 4.0), (2.0, 4.0), (1.0, 2.0)), 8)
    found = [clip.span for t in range(6) for clip in collector.push(picture(float(t)))]
    assert found == [(1.0, 2.0), (0.0, 4.0), (2.0, 4.0)]


def held(collector: ClipCollector) -> list[int]:
    return list(collector._held)


def test_only_frames_that_an_open_or_later_segment_needs_are_held() -> None:
    collector = ClipCollector(rows((0.0, 2.0), (5.0, 7.0)), 8)
    most = 0
    for t in range(10):
        collector.push(picture(float(t)))
        most = max(most, len(held(collector)))
        if t == 4:
            assert held(collector) == [4], "the one before the next segment stays for it"
    assert held(collector) == [9]
    assert most == 3


def test_a_segment_may_lie_in_frames_that_an_earlier_run_had_seen() -> None:
    collector = ClipCollector(rows((3.0, 5.0)), 8, times=[0.0, 1.0, 2.0])
    for t in (3.0, 4.0):
        assert collector.push(picture(t)) == []
    assert [shown(clip)[1] for clip in collector.push(picture(5.0))] == [[3, 4]]


def test_no_frame_beside_the_grid_is_wanted() -> None:
    assert not ClipCollector(rows((0.0, 2.0)), 8).wants(1.0)


def made_clips(count: int) -> list[Clip]:
    pictures = [np.full((2, 2, 3), k, np.uint8) for k in range(count)]
    return [Clip((float(k), k + 1.0), [image], [0.5]) for k, image in enumerate(pictures)]


def test_clips_are_embedded_in_whole_batches_and_the_rest_at_the_end() -> None:
    embedder = ClipRange()
    with EmbedThread(embedder, 3, threads=1) as thread:
        batches = ClipBatches(thread, {(9.0, 9.5): np.zeros(5, np.float32)})
        batches.push(made_clips(7))
        batches.finish()
        found = batches.vectors()
    assert embedder.batches == [3, 3, 1]
    assert list(found) == [(9.0, 9.5), *((float(k), k + 1.0) for k in range(7))]
    assert [found[float(k), k + 1.0][0] for k in range(7)] == list(range(7))


class Held(ClipRange):
    """Waits until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go, self.begun = threading.Event(), threading.Event()

    def embed(self, clips, times):  # type: ignore[no-untyped-def]
        self.begun.set()
        assert self.go.wait(30)
        return super().embed(clips, times)


def test_what_is_not_embedded_yet_is_not_among_the_vectors() -> None:
    embedder = Held()
    with EmbedThread(embedder, 1, threads=1) as thread:
        batches = ClipBatches(thread, {})
        batches.push(made_clips(1))
        assert embedder.begun.wait(30)
        assert batches.vectors() == {}
        embedder.go.set()
        batches.finish()
        assert list(batches.vectors()) == [(0.0, 1.0)]


def test_a_reader_that_is_faster_waits_with_the_third_batch() -> None:
    embedder = Held()
    with EmbedThread(embedder, 1, threads=1) as thread:
        batches = ClipBatches(thread, {})
        batches.push(made_clips(2))  # waits for none
        pushing = threading.Thread(target=batches.push, args=(made_clips(1),))
        pushing.start()
        pushing.join(0.1)
        assert pushing.is_alive()
        embedder.go.set()
        pushing.join(30)
        assert not pushing.is_alive()


def test_an_encoder_that_fails_is_heard_where_its_vectors_are_asked_for() -> None:
    class Broken(ClipRange):
        def embed(self, clips, times):  # type: ignore[no-untyped-def]
            raise RuntimeError("no memory")

    with EmbedThread(Broken(), 2, threads=1) as thread:
        batches = ClipBatches(thread, {})
        batches.push(made_clips(1))
        with pytest.raises(RuntimeError, match="no memory"):
            batches.finish()
