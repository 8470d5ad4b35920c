"""What a segment is judged by: its clip, its context, and the steps before it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from feature_sets import DIM, ENCODER, LARGE, with_large, workshop

from egomon.branches.bundle.card import StreamCard
from egomon.branches.interfaces import BranchScore, ClipView, ContextView, StepGuess, StepSeen
from egomon.errors import DataError, UsageError
from egomon.train.evaluation.scoring import (
    check_mode,
    clip_view,
    context_view,
    large_vectors,
    mode_of,
    small_scores,
)
from egomon.train.features.feature_set import DatasetCard, FeatureSet, Track
from egomon.train.features.rows import SegmentRow

STREAM = StreamCard(fps=1.0, fine_frames=4, context_frames=64)
TRACK = Track(np.arange(20.0), np.repeat(np.arange(20.0), DIM).reshape(20, DIM).astype(np.float16))
ROW = SegmentRow(recording="a", start=8.0, end=12.0, context_start=3.0)


def times(mode: str | None = None, row: SegmentRow = ROW, **changes: object) -> list[float]:
    stream = msgspec.structs.replace(STREAM, **changes)
    view = context_view(TRACK, row, stream, mode)  # type: ignore[arg-type]
    return view.times.tolist()  # type: ignore[no-any-return]


def test_a_clip_is_the_frames_of_its_half_open_span() -> None:
    view = clip_view(TRACK, ROW, STREAM)
    assert view.times.tolist() == [8.0, 9.0, 10.0, 11.0]
    assert view.vectors[:, 0].tolist() == [8.0, 9.0, 10.0, 11.0]
    assert view.vectors.dtype == np.float32
    assert (view.t_start, view.t_end) == (8.0, 12.0)


def test_a_clip_of_more_frames_is_thinned_evenly() -> None:
    assert clip_view(TRACK, msgspec.structs.replace(ROW, end=18.0), STREAM).times.tolist() == [
        8.0, 11.0, 14.0, 17.0
    ]  # fmt: skip


def test_a_clip_after_or_before_all_frames_takes_the_nearest_one_there_is() -> None:
    late = clip_view(TRACK, msgspec.structs.replace(ROW, start=30.0, end=31.0), STREAM)
    assert late.times.tolist() == [19.0]
    track = Track(TRACK.times + 5.0, TRACK.vectors)
    early = clip_view(track, msgspec.structs.replace(ROW, start=0.0, end=1.0), STREAM)
    assert early.times.tolist() == [5.0], "the first, where none came before"
    assert early.vectors.shape == (1, DIM)


def test_the_context_begins_and_ends_as_the_card_says() -> None:
    assert times() == [3.0, *map(float, range(4, 12))]
    assert times(context_from="recording_start") == list(map(float, range(12)))
    assert times(context_until="segment_start") == [3.0, 4.0, 5.0, 6.0, 7.0]
    assert times(context_max_seconds=2.0) == [10.0, 11.0]


def test_a_context_of_more_frames_is_thinned_evenly() -> None:
    assert times(context_frames=3) == [3.0, 7.0, 11.0]


def test_offline_sees_the_recording_to_its_end_from_where_the_context_began() -> None:
    assert times("offline") == list(map(float, range(3, 20)))
    assert times("offline", context_max_seconds=2.0) == list(map(float, range(3, 20)))
    assert times(context_until="recording_end") == times("offline"), "as it was trained"
    view = context_view(TRACK, ROW, STREAM, "offline")
    assert view.t_end == 19.0


def test_none_sees_nothing_and_remembers_no_step() -> None:
    seen = (StepSeen(StepGuess("s", "s", 1.0), 4.0, 8.0),)
    view = context_view(TRACK, ROW, STREAM, "none", seen)
    assert view.times.tolist() == []
    assert view.vectors.shape == (0, DIM)
    assert view.steps == ()
    assert (view.t_start, view.t_end) == (12.0, 12.0)


def test_a_context_remembers_the_steps_that_began_in_it() -> None:
    seen = tuple(
        StepSeen(StepGuess(id, id, 1.0), at, at + 1) for id, at in (("x", 2.9), ("y", 3.0))
    )
    view = context_view(TRACK, ROW, STREAM, "causal", seen)
    assert [step.step.id for step in view.steps] == ["y"]
    assert (view.t_start, view.t_end) == (3.0, 12.0)


def test_a_mode_is_one_of_three_and_by_default_that_of_training() -> None:
    assert [check_mode(m) for m in (None, "causal", "offline", "none")] == [
        None, "causal", "offline", "none"
    ]  # fmt: skip
    with pytest.raises(UsageError, match="--context 'all' is not one of: causal, offline, none"):
        check_mode("all")
    assert mode_of(STREAM) == "causal"
    assert mode_of(msgspec.structs.replace(STREAM, context_until="recording_end")) == "offline"


class Recorder:
    """A small branch that notes what it was shown; it recognises the step of the segment."""

    def __init__(self) -> None:
        self.shown: list[tuple[float, tuple[str, ...]]] = []

    def score(self, clip: ClipView, context: ContextView) -> BranchScore:
        self.shown.append((clip.t_start, tuple(s.step.id for s in context.steps)))
        step = StepGuess(f"at-{clip.t_start:g}", "", 1.0) if clip.t_start != 6.0 else None
        logits = np.array([0.0, clip.t_start], np.float32)
        return BranchScore("small", logits, np.zeros(1, np.float32), 0.0, step=step)


def two_recordings() -> FeatureSet:
    """Rows of two recordings mixed, those of each against the order of time."""
    rows = tuple(
        SegmentRow(recording=name, start=start, end=start + 3.0)
        for name, start in (("b", 9.0), ("a", 6.0), ("a", 3.0), ("b", 0.0), ("a", 0.0))
    )
    card = DatasetCard(name="x", licence="", encoder=ENCODER, fps=1.0, dim=DIM)
    return FeatureSet(card, rows, lambda name: TRACK, "here")


def test_scores_come_in_the_order_of_the_rows_though_steps_are_seen_in_that_of_time() -> None:
    small = Recorder()
    found = small_scores(small, STREAM, two_recordings())  # type: ignore[arg-type]
    assert [score.log_odds for score in found] == [9.0, 6.0, 3.0, 0.0, 0.0]
    assert small.shown == [
        (0.0, ()), (9.0, ("at-0",)),  # b
        (0.0, ()), (3.0, ("at-0",)), (6.0, ("at-0", "at-3")),  # a
    ]  # fmt: skip


def test_a_step_that_was_not_recognised_is_not_remembered() -> None:
    small, data = Recorder(), two_recordings()
    later = SegmentRow(recording="a", start=12.0, end=15.0)
    small_scores(small, STREAM, replace(data, segments=(*data.segments, later)))  # type: ignore[arg-type]
    assert (12.0, ("at-0", "at-3")) in small.shown, "none of the one from 6 s on"


def test_large_vectors_come_in_the_order_of_the_rows_or_are_asked_for() -> None:
    data = with_large(workshop(2))
    found = large_vectors(data)
    assert found.shape == (8, LARGE.dim)
    assert data.large is not None
    np.testing.assert_array_equal(found[5], data.large(data.segments[5]))
    with pytest.raises(DataError, match="workshop has no large-branch vectors; run egomon extract"):
        large_vectors(workshop(2))
