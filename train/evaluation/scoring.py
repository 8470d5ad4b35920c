"""Scores a feature set with a bundle, segment by segment, through the same code as live use."""

from __future__ import annotations

from collections import defaultdict
from typing import Literal, cast, get_args

import numpy as np

from egomon.branches.bundle.card import StreamCard
from egomon.branches.frame_sampling import gather_clip, uniform_indices
from egomon.branches.interfaces import (
    BranchScore,
    ClipView,
    ContextView,
    Float32,
    SmallBranch,
    StepSeen,
)
from egomon.errors import DataError, UsageError
from egomon.train.features.feature_set import FeatureSet, Track
from egomon.train.features.rows import SegmentRow

ContextMode = Literal["causal", "offline", "none"]
"""causal: up to the segment, as live; offline: the whole recording, ahead too; none: nothing."""


def check_mode(mode: str | None) -> ContextMode | None:
    """Check the name of a mode; None stays, it is that of training.

    Raises:
        UsageError: if it is no mode.
    """
    if mode not in (None, *get_args(ContextMode)):
        raise UsageError(f"--context {mode!r} is not one of: {', '.join(get_args(ContextMode))}")
    return cast(ContextMode | None, mode)


def mode_of(stream: StreamCard) -> ContextMode:
    """The mode that a bundle was trained with."""
    return "offline" if stream.context_until == "recording_end" else "causal"


def clip_view(track: Track, row: SegmentRow, stream: StreamCard) -> ClipView:
    """V^f of a segment; one that begins after the last row falls back to that row."""
    times, vectors = gather_clip(
        track.times, cast(Float32, track.vectors), row.start, row.end, stream.fine_frames
    )
    if not len(times):
        times, vectors = track.times[:1], cast(Float32, track.vectors[:1])
    return ClipView(vectors.astype(np.float32), times, row.start, row.end)


def context_view(
    track: Track,
    row: SegmentRow,
    stream: StreamCard,
    mode: ContextMode | None = None,
    steps: tuple[StepSeen, ...] = (),
) -> ContextView:
    """V^c of a segment, gathered exactly as `WorkflowContext.view` does; by default as trained."""
    mode = mode or mode_of(stream)
    until = row.start if stream.context_until == "segment_start" else row.end
    begin = row.context_start if stream.context_from == "context_start" else 0.0
    start = max(begin, until - stream.context_max_seconds)
    if mode == "offline":
        start, until = begin, float("inf")
    if mode == "none":
        until = start
    low, high = np.searchsorted(track.times, (start, until), side="left")
    chosen = low + uniform_indices(int(high - low), stream.context_frames)
    times = track.times[chosen]
    return ContextView(
        vectors=track.vectors[chosen].astype(np.float32),
        times=times,
        t_start=float(times[0]) if len(times) else row.end,
        t_end=row.end if mode != "offline" else float(track.times[-1]),
        steps=() if mode == "none" else tuple(s for s in steps if s.t_start >= start),
    )


def large_vectors(data: FeatureSet) -> Float32:
    """(S, D_l) in the order of the segments.

    Raises:
        DataError: the set has none, or one is missing.
    """
    if data.large is None:
        raise DataError(
            f"{data.where} has no large-branch vectors; run egomon extract --large with a bundle "
            "that has a large branch"
        )
    return np.stack([data.large(row) for row in data.segments])


def small_scores(
    small: SmallBranch, stream: StreamCard, data: FeatureSet, mode: ContextMode | None = None
) -> list[BranchScore]:
    """Score each segment by the small branch, in the order of `data.segments`.

    Within a recording segments are scored by their end, and recognised steps are remembered, as
    a live segment scorer does.

    Raises:
        DataError: if a recording's vectors cannot be read.
    """
    by_recording: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(data.segments):
        by_recording[row.recording].append(number)
    scores: dict[int, BranchScore] = {}
    for name, numbers in by_recording.items():
        track = data.track(name)
        steps: list[StepSeen] = []
        for number in sorted(numbers, key=lambda k: data.segments[k].end):
            row = data.segments[number]
            context = context_view(track, row, stream, mode, tuple(steps))
            score = small.score(clip_view(track, row, stream), context)
            scores[number] = score
            if score.step is not None:
                steps.append(StepSeen(score.step, row.start, row.end))
    return [scores[number] for number in range(len(scores))]
