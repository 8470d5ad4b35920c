import random

import pytest

from egomon.stream.segmenter import ActivityBoundaries, FixedWindows, GivenSpans, Segmenter, Span

PERIOD = 0.25


def run(segmenter: Segmenter, frames: list[tuple[float, float | None]]) -> list[tuple[float, Span]]:
    """Spans with the time of the frame that finished them; the flush comes at infinity."""
    out = [(t, span) for t, level in frames for span in segmenter.push(t, level)]
    return out + [(float("inf"), span) for span in segmenter.flush()]


def steady(seconds: float, start: float = 0.0) -> list[tuple[float, float | None]]:
    return [(start + i * PERIOD, None) for i in range(round(seconds / PERIOD))]


def windows(length: float = 2.0, stride: float = 1.0) -> FixedWindows:
    return FixedWindows(length_seconds=length, stride_seconds=stride, period_seconds=PERIOD)


def activity(**changes: float) -> ActivityBoundaries:
    options = {
        "on": 0.5,
        "off": 0.5,
        "hold_seconds": 0.5,
        "shortest_seconds": 1.0,
        "longest_seconds": 4.0,
        "period_seconds": PERIOD,
    }
    return ActivityBoundaries(**{**options, **changes})  # type: ignore[arg-type]


def test_a_window_is_ready_with_its_last_frame_not_one_later() -> None:
    found = run(windows(), steady(4.0))
    assert found[0] == (1.75, Span(0.0, 2.0))
    assert [span.t_start for t, span in found if t < 100] == [0.0, 1.0, 2.0]


def test_a_video_shorter_than_a_window_still_gives_one_segment() -> None:
    assert run(windows(), steady(1.5)) == [(float("inf"), Span(0.0, 1.5))]
    assert run(windows(), steady(0.5)) == []


def test_frames_late_within_their_grid_point_do_not_shift_windows() -> None:
    frames = [(t + 0.01, None) for t, _ in steady(6.0)]
    assert [s for _, s in run(windows(), frames)] == [s for _, s in run(windows(), steady(6.0))]


def test_windows_start_anew_after_a_flush() -> None:
    segmenter = windows()
    run(segmenter, steady(3.0))
    assert run(segmenter, steady(2.0, start=10.25))[0][1] == Span(10.0, 12.0)


def test_activity_opens_and_closes_one_span() -> None:
    levels = [0.0] * 4 + [1.0] * 8 + [0.0] * 8
    found = run(activity(), [(i * PERIOD, level) for i, level in enumerate(levels)])
    assert len(found) == 1
    finished, span = found[0]
    assert 1.0 <= span.t_start <= 1.5
    assert 3.0 <= span.t_end <= 3.75
    assert finished < 5.0


def test_a_flicker_is_not_a_segment_and_a_pause_shorter_than_hold_does_not_split() -> None:
    flicker = [0.0] * 4 + [1.0] * 2 + [0.0] * 10
    assert run(activity(), [(i * PERIOD, v) for i, v in enumerate(flicker)]) == []
    paused = [1.0] * 6 + [0.0] * 2 + [1.0] * 4 + [0.0] * 10
    assert (
        len(run(activity(hold_seconds=1.0), [(i * PERIOD, v) for i, v in enumerate(paused)])) == 1
    )


def test_long_activity_is_cut_at_the_longest_length_without_a_hole() -> None:
    found = [s for _, s in run(activity(), [(i * PERIOD, 1.0) for i in range(40)])]
    assert [round(s.t_end - s.t_start, 6) for s in found] == [4.0, 4.0, 2.0]
    assert found[0].t_end == found[1].t_start


def test_activity_needs_its_model() -> None:
    with pytest.raises(ValueError, match="activity model"):
        activity().push(0.0, None)


def test_given_spans_finish_with_the_frame_that_covers_their_end() -> None:
    spans = [Span(1.0, 2.0, "screw"), Span(0.5, 1.5), Span(3.0, 9.0), Span(50.0, 60.0)]
    found = run(GivenSpans(spans, period_seconds=PERIOD), steady(4.0))
    assert found == [
        (1.25, Span(0.5, 1.5)),
        (1.75, Span(1.0, 2.0, "screw")),
        (float("inf"), Span(3.0, 4.0)),
    ]


@pytest.mark.parametrize("seed", range(8))
def test_no_span_is_finished_by_a_frame_before_it_was_due(seed: int) -> None:
    rng = random.Random(seed)
    spans = [Span(s, s + rng.uniform(0.3, 3)) for s in range(0, 40, 4)]
    for segmenter in (
        windows(rng.choice((0.5, 2.0, 2.3)), rng.choice((0.5, 1.0, 1.7))),
        activity(hold_seconds=rng.choice((0.25, 0.5))),
        GivenSpans(spans, period_seconds=PERIOD),
    ):
        finished = early = 0
        for i in range(200):
            t = i * PERIOD + rng.uniform(-0.0009, 0.2) * PERIOD
            due = segmenter.due()
            found = segmenter.push(t, float(rng.random() > 0.3))
            finished += len(found)
            assert not found or t >= due
            early += t < due
        assert finished > 3
        assert early > 50, "many frames cannot finish anything, and it says so"
