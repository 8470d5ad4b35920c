"""One recording to frame vectors and large-branch vectors, its video decoded once for both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Event

import numpy as np

from egomon.branches.encoders.preprocess import ImagePreparer
from egomon.branches.interfaces import Float32, FrameEncoder
from egomon.errors import DataError, EgomonError, SourceLostError
from egomon.stream.frame import Frame
from egomon.stream.reader import SourceReader
from egomon.stream.sampling_grid import SamplingGrid
from egomon.stream.source import Discontinuity, SilentListener
from egomon.stream.sources.open import open_source
from egomon.train.extraction.clips import ClipBatches, ClipCollector, EmbedThread
from egomon.train.extraction.find_videos import LabelledVideo
from egomon.train.extraction.partial import PartialVectors
from egomon.train.extraction.source_clips import SourceClipCollector
from egomon.train.features.encode_pool import EncodePool, FrameBatches

CHECKPOINT_SECONDS = 30.0
"""So much work an interruption costs at most."""
LATE_SECONDS = 1.0
"""A segment may begin so long after the last frame: tables are rounded, and clocks differ."""


class ExtractionStopped(EgomonError):
    """Another recording failed, or the user pressed Ctrl-C; nothing is wrong with this one."""


@dataclass(frozen=True, slots=True, eq=False)
class EncoderThreads:
    """The encoders of a run, which all recordings share."""

    frames: FrameEncoder
    pool: EncodePool
    fps: float
    """Of the sampling grid."""
    large: EmbedThread | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RecordingHooks:
    """What a run wants to hear of a recording, in the thread that reads it."""

    on_frames: Callable[[int], None] = lambda count: None
    """Frames that were encoded since the last call."""
    on_share: Callable[[float], None] = lambda share: None
    """How much of the recording is read, in [0, 1]."""
    save: Callable[[PartialVectors], None] = lambda known: None
    """Keep what is known, for another run."""
    stop: Event = field(default_factory=Event)
    """Set from elsewhere: save and end."""
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True, eq=False)
class EncodedRecording:
    """A recording and how it went."""

    vectors: PartialVectors
    frames: int
    """Encoded now."""
    lost_frames: int
    """That were damaged and could not be decoded."""
    is_new: bool = True
    """False: all was known."""


def encode_recording(
    video: LabelledVideo,
    encoders: EncoderThreads,
    known: PartialVectors,
    hooks: RecordingHooks | None = None,
) -> EncodedRecording:
    """Vectors of a recording; goes on from what is known.

    The frames before that are decoded, which is the only way to the right frames in every kind of
    file, but neither converted nor encoded.

    Args:
        video: the recording.
        encoders: the large branch's vectors are made where there is a large encoder.
        known: from `read_partial`, or of a recording that lacks large-branch vectors.
        hooks: what to tell, and when to stop.

    Raises:
        SourceError: the video cannot be read, or ends long before its segments.
        DataError: its frames have other times than those that are known.
        ExtractionStopped: `hooks.stop` was set; what was done is saved.
    """
    hooks = hooks or RecordingHooks()
    if not known.whole:
        # Whole batches only, so that the rest falls into the batches of an undisturbed run.
        known = known.cut(len(known.times) // encoders.pool.batch * encoders.pool.batch)
    first, large = len(known.times), encoders.large
    if large is not None:
        first = known.first_row(video.rows)
    if known.whole and first == len(known.times):
        return EncodedRecording(known, 0, 0, is_new=False)
    losses = _Losses()
    with open_source(str(video.path), name="extract", kind="file", listener=losses) as source:
        sink = _Pass(video, encoders, known, first, hooks, source.info.duration_seconds or 0.0)
        reader = SourceReader(
            source,
            sink,
            grid=SamplingGrid(
                encoders.fps, after_seconds=known.times[first - 1] if first else None
            ),
            prepare=encoders.frames.prepare,
            detail=None if large is None else ImagePreparer(large.card.frame_px, large.card.crop),
            between=sink.wants,
        )
        try:
            while (grab := source.read()) is not None:
                sink.check_stop()
                reader.take(grab)
            _check_length(video, reader.counts.t_seconds)
            sink.finish()
        except BaseException:
            sink.save()
            raise
    return EncodedRecording(replace(sink.known(), whole=True), sink.encoded, losses.frames)


def _check_length(video: LabelledVideo, end_seconds: float) -> None:
    latest = max(row.start for row in video.rows)
    if latest > end_seconds + LATE_SECONDS:
        raise SourceLostError(
            f"{video.path} ends at {end_seconds:.1f} s, but a segment begins at {latest:.1f} s; "
            "copy the video again, or correct its segments"
        )


class _Losses(SilentListener):
    """Counts damaged frames."""

    frames = 0

    def on_gap(self, gap: Discontinuity) -> None:
        """See `SourceListener`."""
        if gap.cause == "decode_error":
            self.frames += gap.count


class _Pass:
    """Sink of the reader: frames to both encoders."""

    def __init__(
        self,
        video: LabelledVideo,
        encoders: EncoderThreads,
        known: PartialVectors,
        first: int,
        hooks: RecordingHooks,
        duration_seconds: float,
    ) -> None:
        self._video, self._known, self._hooks = video, known, hooks
        self._seconds = duration_seconds
        self._times = known.times[:first].tolist()
        self._frames = FrameBatches(encoders.pool)
        self._clips: tuple[ClipCollector | SourceClipCollector, ClipBatches] | None = None
        if encoders.large is not None:
            wanted = [row for row in video.rows if (row.start, row.end) not in known.large]
            most = encoders.large.card.frames
            collector: ClipCollector | SourceClipCollector
            if encoders.large.card.sampling == "source":
                collector = SourceClipCollector(wanted, most)
            else:
                collector = ClipCollector(wanted, most, self._times)
            self._clips = collector, ClipBatches(encoders.large, known.large)
        self._saved = hooks.clock()
        self.encoded = 0

    def wants(self, t_seconds: float) -> bool:
        """Whether a frame beside the sampling grid belongs to a clip."""
        return self._clips is not None and self._clips[0].wants(t_seconds)

    def push(self, frame: Frame) -> bool:
        """See `FrameSink`."""
        row = len(self._times)
        self._check_time(row, frame.t_seconds)
        self._times.append(frame.t_seconds)
        if row >= len(self._known.times):
            if self._known.whole:
                raise self._other_video()
            self._frames.push(frame.image)
            self.encoded += 1
            self._hooks.on_frames(1)
        if self._clips is not None:
            collector, batches = self._clips
            batches.push(collector.push(frame))
        if self._seconds:
            self._hooks.on_share(min(1.0, frame.t_seconds / self._seconds))
        if self._hooks.clock() - self._saved >= CHECKPOINT_SECONDS:
            self.save()
        return True

    def finish(self) -> None:
        """Wait for both encoders."""
        if self._known.whole and len(self._times) != len(self._known.times):
            raise self._other_video()
        self._frames.finish()
        if self._clips is not None:
            collector, batches = self._clips
            batches.push(collector.finish())
            batches.finish()

    def check_stop(self) -> None:
        """End where another recording failed."""
        if self._hooks.stop.is_set():
            raise ExtractionStopped(f"{self._video.name} is not finished")

    def known(self) -> PartialVectors:
        """All vectors that are there now."""
        vectors: Float32 = np.concatenate([self._known.vectors, *self._frames.vectors()])
        times = self._times if len(self._times) > len(self._known.times) else self._known.times
        large = self._known.large if self._clips is None else self._clips[1].vectors()
        return PartialVectors(np.array(times[: len(vectors)]), vectors, large=dict(large))

    def save(self) -> None:
        """Keep what is known for another run."""
        self._hooks.save(self.known())
        self._saved = self._hooks.clock()

    def _check_time(self, row: int, t_seconds: float) -> None:
        if row < len(self._known.times) and self._known.times[row] != t_seconds:
            raise self._other_video()

    def _other_video(self) -> DataError:
        return DataError(
            f"{self._video.path} has other frames than its vectors were made of; delete the "
            f"feature set's files of {self._video.name!r} and extract it again"
        )
