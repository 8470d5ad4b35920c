"""A recording's frame vectors to the segments that a live monitor would have judged."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
import numpy as np

from egomon.branches.bundle.card import StreamCard
from egomon.branches.interfaces import ActivityModel, Float32
from egomon.branches.segmentation import make_segmenter
from egomon.branches.taught.base_head import BaseLook
from egomon.branches.taught.descriptor import Look, before, opening_look
from egomon.branches.workflow_context import WorkflowContext
from egomon.errors import DataError
from egomon.stream.segmenter import Span
from egomon.train.features.recording import RecordingVectors, check_vectors


@dataclass(frozen=True, slots=True, eq=False)
class SegmentMoment:
    """One segment of a recording."""

    span: Span
    look: Float32
    """(E,) as a live monitor sees it: against what came before."""
    whole_look: Float32
    """(E,) against the whole recording: steadier, for finding steps."""
    background_frames: int
    """Frames that `look` could be compared with."""
    handling: float = 0.0
    """Log odds of a mistake by the base bundle's branch; 0 without one."""
    opening: Float32 | None = None
    """(D,) what was seen before the first segment; None = nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class SegmentedRecording:
    """One recording's segments in order of time."""

    name: str
    moments: tuple[SegmentMoment, ...]
    start: float
    """First frame's media seconds."""
    seconds: float


def spans_of(
    recording: RecordingVectors, stream: StreamCard, activity: ActivityModel | None
) -> list[Span]:
    """The segments that a live monitor would have found.

    Raises:
        DataError: the card wants activity boundaries and there is no activity model, or wants
            given segments and there are none.
    """
    levels: list[float | None] = [None] * len(recording.times)
    if recording.spans is not None:
        stream = msgspec.structs.replace(stream, policy="given")
    elif stream.policy == "activity" and activity is not None:
        levels = [float(p) for p in activity.probability(recording.vectors)]
    elif stream.policy != "fixed":
        raise DataError(
            f"{recording.name}: the base bundle's policy {stream.policy!r} finds no segments here; "
            "give segments, or a base with fixed windows or an activity model"
        )
    segmenter = make_segmenter(stream, recording.spans or ())
    spans = []
    for t, level in zip(recording.times, levels, strict=True):
        spans += segmenter.push(float(t), level)
    return spans + segmenter.flush()


def observe(
    recording: RecordingVectors,
    stream: StreamCard,
    look: Look,
    activity: ActivityModel | None = None,
) -> SegmentedRecording:
    """Cut a recording and describe each segment, through the views that a live scorer uses.

    Args:
        recording: frame vectors.
        stream: how to cut.
        look: describes a segment.
        activity: for activity boundaries.

    Raises:
        DataError: the vectors are unusable, or no segment is found.
    """
    check_vectors(recording)
    base = look if isinstance(look, BaseLook) else None
    dim = recording.vectors.shape[1]
    context = WorkflowContext(
        dim, max_seconds=stream.context_max_seconds, context_frames=stream.context_frames
    )
    moments: list[SegmentMoment] = []
    fed = 0
    spans = spans_of(recording, stream, activity)
    for span in sorted(spans, key=lambda s: (s.t_end, s.t_start)):
        end = int(np.searchsorted(recording.times, span.t_end, side="left"))
        if end > fed:
            context.append(recording.times[fed:end], recording.vectors[fed:end])
            fed = end
        clip = context.clip(span.t_start, span.t_end, stream.fine_frames)
        if not len(clip.vectors):
            continue
        until = span.t_start if stream.context_until == "segment_start" else span.t_end
        view = context.view(until)
        background = before(clip, view)
        seen = look(clip.vectors, background)
        first = moments[0].span.t_start if moments else span.t_start
        moments.append(
            SegmentMoment(
                replace(span, text=span.text or (base.name_of(seen) if base else None)),
                seen,
                # The base's head looks at the clip alone.
                seen if base else look(clip.vectors, recording.vectors),
                len(background),
                base.handling(clip.vectors) if base else 0.0,
                opening_look(view, first),
            )
        )
    if not moments:
        raise DataError(
            f"{recording.name}: no segment was found in {len(recording.times)} frames; "
            "is the recording shorter than one step, or does it show no work?"
        )
    start = float(recording.times[0])
    seconds = float(recording.times[-1]) + 1.0 / stream.fps - start
    return SegmentedRecording(recording.name, tuple(moments), start, seconds)
