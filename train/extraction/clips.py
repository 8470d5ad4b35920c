"""Pixels of segments for the large encoder: gathered while a video is read once, then embedded."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from egomon.branches.bundle.card import LargeEncoderCard
from egomon.branches.frame_sampling import span_indices
from egomon.branches.interfaces import Float32
from egomon.branches.threads import set_torch_threads, usable_cores
from egomon.stream.frame import Frame, UInt8Image
from egomon.train.features.encode_pool import has_result
from egomon.train.features.large_vectors import TimeRange, VectorBySpan
from egomon.train.features.rows import SegmentRow

WAITING_BATCHES = 2
"""Batches of clips of a recording that wait before its reader waits for them."""


class Embedder(Protocol):
    """A frozen clip encoder phi_l: `Qwen3VLEmbedder`."""

    card: LargeEncoderCard

    def embed(
        self, clips: Sequence[Sequence[UInt8Image]], times: Sequence[Sequence[float]]
    ) -> Float32:
        """Clips and their frames' seconds to (N, dim) unit vectors."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Frames of one segment."""

    span: TimeRange
    images: list[UInt8Image]
    seconds: list[float]
    """Of each frame, from the segment's start."""


class ClipCollector:
    """Clips of the sampled frames, held until the last segment that needs them has ended.

    So memory grows with the longest segment, not with the recording.

    Args:
        rows: the segments whose clips are wanted.
        most: frames of a clip.
        times: of the sampled frames before the first one that is pushed.
    """

    def __init__(self, rows: Iterable[SegmentRow], most: int, times: Sequence[float] = ()) -> None:
        spans = {(row.start, row.end) for row in rows}
        self._spans = sorted(spans, key=lambda span: (span[1], span[0]))
        starts = np.array([*(start for start, _ in self._spans), np.inf])
        self._first = np.minimum.accumulate(starts[::-1])[::-1]
        """Earliest start of the spans from each on."""
        self._next = 0
        self._most = most
        self._times = list(times)
        self._held: dict[int, UInt8Image] = {}

    def wants(self, t_seconds: float) -> bool:
        """Whether a frame beside the sampling grid belongs to a clip: never."""
        return False

    def push(self, frame: Frame) -> list[Clip]:
        """Add the next sampled frame, which has `detail`; return the clips that end before it."""
        assert frame.detail is not None
        self._held[len(self._times)] = frame.detail
        self._times.append(frame.t_seconds)
        ready = self._end(frame.t_seconds)
        # One before the earliest open segment too: a segment without a frame takes that.
        needed = bisect_left(self._times, self._first[self._next]) - 1
        for k in [k for k in self._held if k < needed]:
            del self._held[k]
        return ready

    def finish(self) -> list[Clip]:
        """Return the clips of the segments that the video's end cuts off."""
        return self._end(np.inf)

    def _end(self, t_seconds: float) -> list[Clip]:
        ready = []
        while self._next < len(self._spans) and self._spans[self._next][1] <= t_seconds:
            ready.append(self._clip(self._spans[self._next]))
            self._next += 1
        return ready

    def _clip(self, span: TimeRange) -> Clip:
        # A segment before the first frame falls back to that frame, as its frame vectors do.
        chosen = span_indices(np.array(self._times), *span, self._most).tolist() or [0]
        seconds = [self._times[k] - span[0] for k in chosen]
        return Clip(span, [self._held[k] for k in chosen], seconds)


class EmbedThread:
    """The one thread that the large encoder works in, for all recordings.

    Args:
        embedder: the large encoder.
        batch: clips a call.
        threads: of its operators on a CPU; None = all cores.
    """

    def __init__(self, embedder: Embedder, batch: int, threads: int | None = None) -> None:
        self.card, self.batch = embedder.card, batch
        self._embedder = embedder
        self._thread = ThreadPoolExecutor(
            1, "embed", lambda: set_torch_threads(threads or usable_cores())
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def submit(self, clips: Sequence[Clip]) -> Future[Float32]:
        """Embed a batch; (B, dim) later."""
        images, seconds = [c.images for c in clips], [c.seconds for c in clips]
        return self._thread.submit(self._embedder.embed, images, seconds)


class ClipBatches:
    """Clips of one recording in batches, in the order in which the segments end."""

    def __init__(self, thread: EmbedThread, known: VectorBySpan) -> None:
        self._thread = thread
        self._clips: list[Clip] = []
        self._futures: deque[tuple[list[TimeRange], Future[Float32]]] = deque()
        self._known: VectorBySpan = dict(known)

    def push(self, clips: Iterable[Clip]) -> None:
        """Add clips; waits where two batches wait already."""
        for clip in clips:
            self._clips.append(clip)
            if len(self._clips) == self._thread.batch:
                self._submit()

    def finish(self) -> None:
        """Embed what waits, and wait for it."""
        if self._clips:
            self._submit()
        while self._futures:
            self._take()

    def vectors(self) -> VectorBySpan:
        """Vectors that are there, by span."""
        while self._futures and has_result(self._futures[0][1]):
            self._take()
        return self._known

    def _submit(self) -> None:
        spans = [clip.span for clip in self._clips]
        self._futures.append((spans, self._thread.submit(self._clips)))
        self._clips = []
        while len(self._futures) > WAITING_BATCHES:
            self._take()

    def _take(self) -> None:
        spans, future = self._futures.popleft()
        self._known |= dict(zip(spans, future.result(), strict=True))
