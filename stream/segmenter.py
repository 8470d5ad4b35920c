"""Segmenters: fixed windows, activity boundaries, or spans from a file."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

# One frame that looks idle, a hand before the lens, does not end a segment.
SMOOTHING_FRAMES = 3
SHORTEST_PART = 0.5
"""A fixed window cut short by the end of the stream is scored if this share of it is there."""
# Sums of periods miss a bound by less than this in float64, in any length of stream.
EPSILON_SECONDS = 1e-6


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open piece of media time [t_start, t_end), in seconds."""

    t_start: float
    t_end: float
    text: str | None = None
    """Step name, where spans are given."""

    @property
    def duration_seconds(self) -> float:
        """Length in seconds."""
        return self.t_end - self.t_start


class Segmenter(Protocol):
    """Turns the times of sampled frames into finished spans; no clock, no thread, no pixels."""

    def push(self, t_seconds: float, activity: float | None) -> list[Span]:
        """Add a sampled frame that covers [t, t + period); return the spans that it finishes.

        `activity` is the probability that hands are at work, where a model gives one.
        """

    def flush(self) -> list[Span]:
        """End the stream: return the spans that are worth scoring, and start afresh."""

    def due(self) -> float:
        """Return the earliest media time of a frame that may finish a span; infinity if none."""


class FixedWindows:
    """Windows of one length at one stride, counted from the first frame's whole stride.

    >>> windows = FixedWindows(length_seconds=2.0, stride_seconds=1.0, period_seconds=0.5)
    >>> [s for i in range(7) for s in windows.push(i * 0.5, None)]
    [Span(t_start=0.0, t_end=2.0, text=None), Span(t_start=1.0, t_end=3.0, text=None)]
    """

    def __init__(
        self, *, length_seconds: float, stride_seconds: float, period_seconds: float
    ) -> None:
        if length_seconds <= 0 or stride_seconds <= 0:
            raise ValueError("window length and stride must be above 0 s")
        self._length = length_seconds
        self._stride = stride_seconds
        self._period = period_seconds
        self._next: int | None = None
        self._covered = 0.0

    def push(self, t_seconds: float, activity: float | None) -> list[Span]:
        """See `Segmenter`."""
        if self._next is None:
            self._next = int((t_seconds + EPSILON_SECONDS) / self._stride)
        # Grid points are 1/fps apart, a frame may be late within its point: count by points.
        self._covered = int((t_seconds + EPSILON_SECONDS) / self._period + 1e-3) * self._period
        self._covered += self._period
        spans = []
        while self._next * self._stride + self._length <= self._covered + EPSILON_SECONDS:
            start = self._next * self._stride
            spans.append(Span(start, start + self._length))
            self._next += 1
        return spans

    def due(self) -> float:
        """See `Segmenter`."""
        if self._next is None:
            return -math.inf  # the first frame decides where windows begin
        # A frame may be early by the tolerance that `push` counts its point with.
        points = (self._next * self._stride + self._length) / self._period - 1 - 2e-3
        return points * self._period

    def flush(self) -> list[Span]:
        """See `Segmenter`."""
        spans = []
        if self._next is not None:
            start = self._next * self._stride
            if self._covered - start >= SHORTEST_PART * self._length:
                spans.append(Span(start, self._covered))
        self._next = None
        return spans


class ActivityBoundaries:
    """Spans in which hands are at work, found online from a probability per frame.

    The probability is averaged over the last three frames; a span opens at `on`, closes once the
    average has stayed below `off` for `hold_seconds`, is dropped if shorter than
    `shortest_seconds` and cut at `longest_seconds`.
    """

    def __init__(
        self,
        *,
        on: float,
        off: float,
        hold_seconds: float,
        shortest_seconds: float,
        longest_seconds: float,
        period_seconds: float,
    ) -> None:
        if off > on:
            raise ValueError(f"activity_off ({off}) must not exceed activity_on ({on})")
        self._on, self._off = on, off
        self._hold = hold_seconds
        self._shortest, self._longest = shortest_seconds, longest_seconds
        self._period = period_seconds
        self._recent: deque[float] = deque(maxlen=SMOOTHING_FRAMES)
        self._start: float | None = None
        self._last_active = 0.0

    def push(self, t_seconds: float, activity: float | None) -> list[Span]:
        """See `Segmenter`."""
        if activity is None:
            raise ValueError("activity boundaries need an activity model")
        self._recent.append(activity)
        level = sum(self._recent) / len(self._recent)
        if self._start is None:
            if level >= self._on:
                self._start = self._last_active = t_seconds
            return []
        if level >= self._off:
            self._last_active = t_seconds
            if t_seconds + self._period - self._start < self._longest - EPSILON_SECONDS:
                return []
            return self._close(restart_at=t_seconds + self._period)
        if t_seconds - self._last_active + EPSILON_SECONDS >= self._hold:
            return self._close(restart_at=None)
        return []

    def due(self) -> float:
        """See `Segmenter`."""
        if self._start is None:
            return math.inf
        quiet, cut = self._last_active + self._hold, self._start + self._longest - self._period
        return min(quiet, cut) - EPSILON_SECONDS

    def flush(self) -> list[Span]:
        """See `Segmenter`."""
        spans = self._close(restart_at=None) if self._start is not None else []
        self._recent.clear()
        return spans

    def _close(self, restart_at: float | None) -> list[Span]:
        assert self._start is not None
        span = Span(self._start, self._last_active + self._period)
        self._start = restart_at
        return [span] if span.t_end - span.t_start >= self._shortest - EPSILON_SECONDS else []


class GivenSpans:
    """Spans known beforehand, from a file; each is finished by the frame that covers its end."""

    def __init__(self, spans: Sequence[Span], *, period_seconds: float) -> None:
        self._waiting = deque(sorted(spans, key=lambda span: (span.t_end, span.t_start)))
        self._period = period_seconds
        self._covered = 0.0

    def push(self, t_seconds: float, activity: float | None) -> list[Span]:
        """See `Segmenter`."""
        self._covered = t_seconds + self._period
        spans = []
        while self._waiting and self._waiting[0].t_end <= self._covered + EPSILON_SECONDS:
            spans.append(self._waiting.popleft())
        return spans

    def due(self) -> float:
        """See `Segmenter`."""
        if not self._waiting:
            return math.inf
        return self._waiting[0].t_end - self._period - EPSILON_SECONDS

    def flush(self) -> list[Span]:
        """See `Segmenter`."""
        started = [s for s in self._waiting if s.t_start < self._covered]
        self._waiting = deque(s for s in self._waiting if s.t_start >= self._covered)
        return [Span(s.t_start, min(s.t_end, self._covered), s.text) for s in started]
