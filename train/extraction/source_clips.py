"""Clips of the video's own frames, chosen while it is decoded: for cards that sample the source."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

import numpy as np

from egomon.branches.frame_sampling import spread_times
from egomon.stream.frame import Detail, Frame
from egomon.train.extraction.clips import Clip
from egomon.train.features.large_vectors import TimeRange
from egomon.train.features.rows import SegmentRow


class SourceClipCollector:
    """As `ClipCollector`, with the frames that `spread_indices` takes of all that the video has.

    Only those are converted and held: at most `most` for each open segment.

    Args:
        rows: the segments whose clips are wanted.
        most: frames of a clip.
    """

    def __init__(self, rows: Iterable[SegmentRow], most: int) -> None:
        self._waiting = sorted({(row.start, row.end) for row in rows}, reverse=True)
        self._most = most
        self._open: list[_OpenClip] = []
        self._newest: Detail | None = None

    def wants(self, t_seconds: float) -> bool:
        """Whether a frame beside the sampling grid belongs to a clip."""
        self._begin(t_seconds)
        return any(clip.wants(t_seconds) for clip in self._open)

    def push(self, frame: Frame) -> list[Clip]:
        """Add the next sampled frame, which has `detail`; return the clips that end before it."""
        assert frame.detail is not None
        for detail in frame.between:
            self._add(detail)
        ready = self._end(frame.t_seconds)
        self._newest = Detail(frame.t_seconds, frame.detail)
        self._add(self._newest)
        return ready

    def finish(self) -> list[Clip]:
        """Return the clips of the segments that the video's end cuts off."""
        return self._end(np.inf)

    def _begin(self, t_seconds: float) -> None:
        while self._waiting and self._waiting[-1][0] <= t_seconds:
            self._open.append(_OpenClip(self._waiting.pop(), self._most))

    def _add(self, detail: Detail) -> None:
        self._begin(detail.t_seconds)
        for clip in self._open:
            if clip.wants(detail.t_seconds):
                clip.add(detail)

    def _end(self, t_seconds: float) -> list[Clip]:
        self._begin(t_seconds)
        ended = [clip for clip in self._open if clip.span[1] <= t_seconds]
        self._open = [clip for clip in self._open if clip.span[1] > t_seconds]
        return [self._clip(clip) for clip in sorted(ended, key=lambda c: (c.span[1], c.span[0]))]

    def _clip(self, clip: _OpenClip) -> Clip:
        assert self._newest is not None
        # A segment without a frame falls back to the one sampled before, as its frame vectors do.
        details = clip.details or [self._newest]
        start = clip.span[0]
        return Clip(clip.span, [d.image for d in details], [d.t_seconds - start for d in details])


class _OpenClip:
    """The frames of a segment so far."""

    def __init__(self, span: TimeRange, most: int) -> None:
        self.span = span
        self._times = spread_times(*span, most).tolist()
        self._next = 0
        self.details: list[Detail] = []

    def wants(self, t_seconds: float) -> bool:
        start, end = self.span
        is_open = self._next < len(self._times) and start <= t_seconds < end
        return is_open and t_seconds >= self._times[self._next]

    def add(self, detail: Detail) -> None:
        self.details.append(detail)
        self._next = bisect_right(self._times, detail.t_seconds)
