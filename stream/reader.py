"""Source to buffer: read, choose by the grid, convert and resize once. No model, disk or socket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from egomon.stream.frame import Detail, Frame, Grab, PrepareImage, UInt8Image
from egomon.stream.sampling_grid import SamplingGrid
from egomon.stream.source import Source
from egomon.stream.worker import Worker
from egomon.units import SECONDS_PER_NS


@dataclass(slots=True)
class Timeline:
    """Media time that never goes back, also over reconnections.

    A stream that comes back may start its clock anew; its frames are then placed where the
    monotonic clock says they belong.
    """

    offset_seconds: float = 0.0
    _epoch: int = field(default=-1)
    _t_seconds: float = field(default=0.0)
    _mono_ns: int = field(default=0)

    def place(self, grab: Grab) -> float:
        """Convert a grab's time to media seconds on this time line."""
        t = grab.t_seconds + self.offset_seconds
        if self._epoch >= 0 and grab.epoch != self._epoch and t <= self._t_seconds:
            away = max(0.0, (grab.mono_ns - self._mono_ns) * SECONDS_PER_NS)
            self.offset_seconds += self._t_seconds + max(away, 1e-3) - t
            t = grab.t_seconds + self.offset_seconds
        self._epoch, self._t_seconds, self._mono_ns = grab.epoch, t, grab.mono_ns
        return t


@dataclass(slots=True)
class ReaderCounts:
    """Counters of a reader, written by the producer's thread only."""

    decoded: int = 0
    sampled: int = 0
    t_seconds: float = 0.0
    ended: bool = False


class FrameTap(Protocol):
    """Sees full pictures beside the sampled frames, such as a recorder; in the reading thread."""

    def wants(self, t_seconds: float) -> bool:
        """Whether the picture of this moment is wanted."""

    def take(self, rgb: UInt8Image, t_seconds: float) -> None:
        """Accept a picture (H, W, 3); must not wait."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which frames are sampled, and how they are resized."""

    grid: SamplingGrid
    prepare: PrepareImage
    detail: Callable[[UInt8Image], UInt8Image] | None = None
    between: Callable[[float], bool] = lambda t: False
    """Told the time of a frame beside the grid; True = its detail is kept too."""
    letterboxed: bool = False
    """Whether `detail` keeps the proportions."""


class FrameSink(Protocol):
    """Receiver of sampled frames, such as a `RollingBuffer`."""

    def push(self, frame: Frame) -> bool:
        """Accept a frame; False if the receiver is closed."""

    def finish(self) -> None:
        """Close the receiver."""


class SourceReader:
    """Moves frames from one source to its buffer until the source ends or the worker is stopped.

    Args:
        source: opened in the thread that runs `run`.
        buffer: receives sampled frames.
        grid: which frames are sampled.
        prepare: the frame encoder's resize.
        detail: resize for the large branch and evidence; None = not kept.
        pace: called with each grab's media time before it is used; a replay at real speed waits
            here.
        range_seconds: half-open piece of the file to read.
        between: told the time of a frame beside the grid; True = its detail is kept too, in the
            next sampled frame. What comes after the last sampled frame is forgotten.
        letterboxed: whether `detail` keeps the proportions.
        on_grab: called with each grab as it comes.
        tap: gives what sees full pictures at the moment, if anything does.
    """

    def __init__(
        self,
        source: Source,
        buffer: FrameSink,
        *,
        grid: SamplingGrid,
        prepare: PrepareImage,
        detail: Callable[[UInt8Image], UInt8Image] | None = None,
        pace: Callable[[float], object] = lambda t: None,
        range_seconds: tuple[float, float | None] = (0.0, None),
        between: Callable[[float], bool] = lambda t: False,
        letterboxed: bool = False,
        on_grab: Callable[[Grab], object] = lambda grab: None,
        tap: Callable[[], FrameTap | None] = lambda: None,
    ) -> None:
        self._source = source
        self._buffer = buffer
        self._sampling = Sampling(grid, prepare, detail, between, letterboxed)
        self._next_sampling: Sampling | None = None
        self._tap = tap
        self._pace = pace
        self._range_seconds = range_seconds
        self._between: list[Detail] = []
        self._on_grab = on_grab
        self._timeline = Timeline()
        self._epochs_before = 0
        self._epoch = 0
        self.counts = ReaderCounts()

    def run(self, worker: Worker) -> None:
        """Body of the producer's thread; the buffer is finished whatever happens."""
        try:
            self.read_all(worker)
        finally:
            self._source.close()
            self._buffer.finish()

    def read_all(self, worker: Worker) -> None:
        """Read until the source ends; source and buffer stay as they are."""
        while not worker.stopping:
            grab = self._source.read()
            worker.beat()
            if grab is None or not self.take(grab):
                break
        self.counts.ended = True

    def resume(self, source: Source) -> None:
        """Continue with a reopened source: a new epoch, on the same time line."""
        self._source = source
        self._epochs_before = self._epoch + 1

    def resample(self, sampling: Sampling) -> None:
        """Sample otherwise from the next grab on, in a new epoch; callable from any thread."""
        self._next_sampling = sampling

    def take(self, grab: Grab) -> bool:
        """Process one grab; False at the end of the range or once the buffer is closed."""
        self._on_grab(grab)
        if self._next_sampling is not None:
            self._sampling, self._next_sampling = self._next_sampling, None
            self._epochs_before += 1
        if self._epochs_before:
            grab = replace(grab, epoch=grab.epoch + self._epochs_before)
        if grab.epoch != self._epoch:
            self._between.clear()  # no clip spans two epochs
        self._epoch = grab.epoch
        t = self._timeline.place(grab)
        first, end = self._range_seconds
        if end is not None and t >= end:
            return False
        self.counts.decoded += 1
        self.counts.t_seconds = t
        if t < first:
            return True
        tap, rgb = self._tap(), None
        if tap is not None and tap.wants(t):
            rgb = grab.to_rgb()
            tap.take(rgb, t)
        sampling = self._sampling
        if not sampling.grid.accepts(t):
            if sampling.detail is not None and sampling.between(t):
                picture = sampling.detail(grab.to_rgb() if rgb is None else rgb)
                self._between.append(Detail(t, picture))
            return True
        self._pace(t - first)
        self.counts.sampled += 1
        return self._buffer.push(self._frame(grab, grab.to_rgb() if rgb is None else rgb, t))

    def _frame(self, grab: Grab, rgb: UInt8Image, t_seconds: float) -> Frame:
        sampling = self._sampling
        between, self._between = tuple(self._between), []
        return Frame(
            image=sampling.prepare(rgb),
            detail=None if sampling.detail is None else sampling.detail(rgb),
            t_seconds=t_seconds,
            mono_ns=grab.mono_ns,
            wall_ns=grab.wall_ns,
            index=grab.index,
            epoch=grab.epoch,
            pts_seconds=grab.pts_seconds,
            gaze=grab.gaze,
            between=between,
            letterboxed=sampling.letterboxed,
        )
