"""Scores the segments of one source from its frame vectors: context, segmenter, small branch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from egomon.branches.bundle.card import GuardCard, StreamCard
from egomon.branches.frame_sampling import spread_indices, uniform_indices
from egomon.branches.interfaces import (
    ActivityModel,
    BranchScore,
    CorrectableBranch,
    DomainGuard,
    Float32,
    FollowingBranch,
    SmallBranch,
    StreamBranch,
)
from egomon.branches.out_of_domain.detector import DomainState, OutOfDomainDetector
from egomon.branches.workflow_context import WorkflowContext
from egomon.stream.frame import Detail, Frame, Segment
from egomon.stream.segmenter import Segmenter, Span
from egomon.units import NS_PER_SECOND

if TYPE_CHECKING:
    from egomon.branches.taught.corrections import Correction

FrameWindow = Callable[[float, float, int], Sequence[Frame]]
"""(t_start, t_end, epoch) to the frames that the buffer still holds."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoredSegment:
    """A segment with the small branch's score, as the small thread hands it to fusion."""

    segment: Segment
    score: BranchScore
    out_of_domain: bool
    guard_distance: float | None
    capture_start_wall_ns: int
    capture_end_wall_ns: int
    capture_end_mono_ns: int
    """Arrival of the segment's last frame."""


@dataclass(frozen=True, slots=True)
class Progress:
    """All frames before `t_seconds` have been encoded."""

    source: str
    t_seconds: float
    frames: int
    """Frames encoded so far."""
    domain: DomainState
    guard_distance: float | None


@dataclass(frozen=True, slots=True)
class ScoringModels:
    """Models and card of a segment scorer, shared by all scorers of a process."""

    small: SmallBranch
    stream: StreamCard
    dim: int
    guard: DomainGuard | None = None
    guard_card: GuardCard | None = None
    activity: ActivityModel | None = None
    cycles: bool = True
    """See `FollowingBranch`."""
    pixel_frames: int = 0
    """Frames with pixels that a segment keeps for the large branch and evidence."""
    clip_frames: int = 0
    """Frames of the source itself that the large branch takes; 0 = it takes those above."""


class SegmentScorer:
    """Scores one source; owned by one thread, which feeds encoded frames in order.

    Args:
        source: name of the camera.
        parts: models and card.
        segmenter: decides where segments begin and end.
        window: access to the pixels that the buffer still holds.
        reset_gap_seconds: a hole longer than this begins a new workflow; None = never.
        clock_ns: monotonic nanoseconds, for latencies.
    """

    def __init__(
        self,
        source: str,
        parts: ScoringModels,
        segmenter: Segmenter,
        *,
        window: FrameWindow = lambda t_start, t_end, epoch: (),
        reset_gap_seconds: float | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.source = source
        self._parts = parts
        self._segmenter = segmenter
        self._window = window
        self._reset_gap_seconds = reset_gap_seconds
        self._clock_ns = clock_ns
        card = parts.guard_card
        guard = OutOfDomainDetector(
            parts.guard,
            enter=card.enter_segments if card else 1,
            leave=card.leave_segments if card else 1,
        )
        self._guard = guard
        self._small: SmallBranch = parts.small
        self._domain: OutOfDomainDetector | StreamBranch = guard
        if isinstance(parts.small, FollowingBranch):
            self._small = self._domain = parts.small.follow(cycles=parts.cycles)
        self.context = WorkflowContext(
            parts.dim,
            max_seconds=parts.stream.context_max_seconds,
            context_frames=parts.stream.context_frames,
        )
        self._newest: Frame | None = None
        self._segments = 0
        self._frames = 0

    @property
    def frames(self) -> int:
        """Number of frames so far."""
        return self._frames

    def feed(self, frames: Sequence[Frame], vectors: Float32) -> list[ScoredSegment | Progress]:
        """Add consecutive frames and vectors (B, D); return finished segments, then progress."""
        events: list[ScoredSegment | Progress] = []
        activity = self._activity(vectors)
        for frame, vector, level in zip(frames, vectors, activity, strict=True):
            events += self._on_gap(frame)
            times = np.array([frame.t_seconds])
            self.context.append(times, vector[None])
            self._guard.push(times, vector[None])
            self._newest = frame
            self._frames += 1
            for span in self._segmenter.push(frame.t_seconds, level):
                events.append(self._score(span, frame))
        events.append(self.progress())
        return events

    def flush(self) -> list[ScoredSegment | Progress]:
        """End the stream: score the open segment."""
        if self._newest is None:
            return [self.progress()]
        left = [self._score(span, self._newest) for span in self._segmenter.flush()]
        return [*left, self.progress()]

    def reset_context(self) -> None:
        """Begin a new workflow."""
        if self._newest is not None:
            self.context.reset(self._newest.t_seconds)

    def correct(self, corrections: Sequence[Correction]) -> None:
        """Let the small branch learn from what people said, if it can; the workflow goes on."""
        if isinstance(self._small, CorrectableBranch):
            self._small.correct(corrections)

    def progress(self) -> Progress:
        """Return how far this scorer is."""
        period = 1.0 / self._parts.stream.fps
        t = 0.0 if self._newest is None else self._newest.t_seconds + period
        return Progress(self.source, t, self._frames, self._domain.state, self._domain.distance)

    def may_finish(self, frame: Frame) -> bool:
        """False if this frame, which is still to be encoded, cannot finish a segment."""
        last = self._newest
        return (last is not None and frame.epoch != last.epoch) or (
            frame.t_seconds >= self._segmenter.due()
        )

    def _activity(self, vectors: Float32) -> list[float | None]:
        model = self._parts.activity
        if model is None or not len(vectors):
            return [None] * len(vectors)
        return [float(p) for p in model.probability(vectors)]

    def _on_gap(self, frame: Frame) -> list[ScoredSegment | Progress]:
        """Finish the open segment before a discontinuity, which no clip spans."""
        last = self._newest
        if last is None or frame.epoch == last.epoch:
            return []
        events: list[ScoredSegment | Progress] = [
            self._score(span, last) for span in self._segmenter.flush()
        ]
        hole = frame.t_seconds - last.t_seconds
        if self._reset_gap_seconds is not None and hole > self._reset_gap_seconds:
            self.context.reset(frame.t_seconds)
        return events

    def _score(self, span: Span, last: Frame) -> ScoredSegment:
        card = self._parts.stream
        clip = self.context.clip(span.t_start, span.t_end, card.fine_frames)
        until = span.t_start if card.context_until == "segment_start" else span.t_end
        score = self._small.score(clip, self.context.view(until))
        if score.step is not None:
            self.context.add_step(score.step, span.t_start, span.t_end)
        held = self._held(span, last.epoch)
        chosen = uniform_indices(len(held), self._parts.pixel_frames)
        expected = round(span.t_end * card.fps) - round(span.t_start * card.fps)
        found = self.context.count(span.t_start, span.t_end)
        segment = Segment(
            index=self._segments,
            source=self.source,
            t_start=span.t_start,
            t_end=span.t_end,
            epoch=last.epoch,
            times=clip.times,
            frames=tuple(held[i] for i in chosen),
            dropped=max(0, expected - found),
            text=span.text,
            gaze=tuple(frame.gaze for frame in held if frame.gaze is not None),
            clip=self._clip(span, last),
        )
        self._segments += 1
        elapsed_ns = int(span.duration_seconds * NS_PER_SECOND)
        return ScoredSegment(
            segment=segment,
            score=score,
            out_of_domain=self._domain.state == "out_of_domain"
            or self._guard.is_foreign(clip.vectors),
            guard_distance=self._domain.distance,
            capture_start_wall_ns=last.wall_ns - elapsed_ns,
            capture_end_wall_ns=last.wall_ns,
            capture_end_mono_ns=last.mono_ns,
        )

    def _clip(self, span: Span, last: Frame) -> tuple[Detail, ...]:
        """Frames of the source, evenly spread: those up to the one that ended the span are held."""
        most = self._parts.clip_frames
        if not most:
            return ()
        found: list[Detail] = []
        for frame in self._window(
            span.t_start, math.nextafter(last.t_seconds, math.inf), last.epoch
        ):
            found += frame.between
            if frame.detail is not None:
                found.append(Detail(frame.t_seconds, frame.detail))
        times = np.array([detail.t_seconds for detail in found])
        return tuple(found[k] for k in spread_indices(times, span.t_start, span.t_end, most))

    def _held(self, span: Span, epoch: int) -> Sequence[Frame]:
        if not self._parts.pixel_frames:
            return ()
        return self._window(span.t_start, span.t_end, epoch)
