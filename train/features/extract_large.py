"""Large-branch vectors of a recording: one a segment, from the frames that the live path takes."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np

from egomon.branches.bundle.card import LargeEncoderCard
from egomon.branches.bundle.locate import LARGE_FOLDER as BUNDLE_LARGE_FOLDER
from egomon.branches.encoders.preprocess import ImagePreparer
from egomon.branches.frame_sampling import span_indices
from egomon.branches.interfaces import Float32, Float64
from egomon.branches.load_bundle import Bundle
from egomon.errors import DataError, UsageError
from egomon.stream.frame import Frame, UInt8Image
from egomon.stream.reader import SourceReader
from egomon.stream.sampling_grid import SamplingGrid
from egomon.stream.sources.open import open_source
from egomon.train.features.large_vectors import large_path
from egomon.train.features.rows import SegmentRow
from egomon.train.features.write_feature_set import write_bytes


class Embedder(Protocol):
    """A frozen clip encoder phi_l: `Qwen3VLEmbedder`."""

    card: LargeEncoderCard

    def embed(
        self, clips: Sequence[Sequence[UInt8Image]], times: Sequence[Sequence[float]]
    ) -> Float32:
        """Clips and their frames' seconds to (N, dim) unit vectors."""


def open_large(bundle: Bundle) -> tuple[LargeEncoderCard, Embedder]:
    """The bundle's large encoder; its card names weights by full path, to hold elsewhere too.

    Raises:
        UsageError: the bundle has no large branch.
        BundleError: the weights cannot be had.
    """
    card = bundle.card.large
    if card is None:
        raise UsageError(
            f"bundle {bundle.card.name} has no large branch, so --large has nothing to run; take "
            "a bundle whose card names a large encoder"
        )
    from egomon.branches.uemcm.qwen3_vl import Qwen3VLEmbedder

    compute = bundle.compute
    embedder = Qwen3VLEmbedder.load(card, bundle.folder, device=compute.device, dtype=compute.dtype)
    inside = bundle.folder / (BUNDLE_LARGE_FOLDER if card.weights == "bundle" else card.weights)
    if inside.is_dir():
        card = msgspec.structs.replace(card, weights=str(inside.resolve()))
    return card, embedder


def embed_segments(
    path: Path,
    rows: Sequence[SegmentRow],
    embedder: Embedder,
    times: Float64,
    fps: float,
    on_share: Callable[[float], None] = lambda share: None,
) -> Float32:
    """(S, dim) in the order of `rows`.

    The video is read once more; frames are kept only until the last segment that needs them, so
    memory does not grow with its length.

    Args:
        path: the recording.
        rows: its segments.
        embedder: the large encoder.
        times: (N,) seconds of the recording's sampled frames, from the pass over frame vectors.
        fps: of the sampling grid.
        on_share: called with the share of segments that are done.

    Raises:
        SourceError: the video cannot be read.
        DataError: it has fewer frames than before.
    """
    sink = _Clips(rows, embedder, times, on_share)
    with open_source(str(path), name="extract", kind="file") as source:
        producer = SourceReader(
            source,
            sink,
            grid=SamplingGrid(fps),
            prepare=lambda rgb: rgb,
            detail=ImagePreparer(embedder.card.frame_px, "squash"),
        )
        while (grab := source.read()) is not None and producer.take(grab):
            pass
    if sink.waiting:
        raise DataError(
            f"{path} ends at sampled frame {sink.seen}, but its frame vectors go on; delete the "
            "feature set's file of this recording and extract it again"
        )
    return np.stack(sink.vectors)


@dataclass(frozen=True, slots=True)
class _Clip:
    number: int
    start: float
    frames: list[int]


class _Clips:
    """Sink of a reader that embeds each segment as soon as its last frame is there."""

    def __init__(
        self,
        rows: Sequence[SegmentRow],
        embedder: Embedder,
        times: Float64,
        on_share: Callable[[float], None],
    ) -> None:
        self._embedder, self._on_share = embedder, on_share
        self._times = times
        most = embedder.card.frames
        clips = []
        for number, row in enumerate(rows):
            chosen = span_indices(times, row.start, row.end, most).tolist()
            # A segment before the first frame falls back to that frame, as its frame vectors do.
            clips.append(_Clip(number, row.start, chosen or [0]))
        self.waiting = sorted(clips, key=lambda clip: clip.frames[-1])
        firsts = np.array([clip.frames[0] for clip in self.waiting])
        self._first = np.minimum.accumulate(firsts[::-1])[::-1]
        self._held: dict[int, UInt8Image] = {}
        self._wanted = {k for clip in clips for k in clip.frames}
        self.vectors: list[Float32] = [np.empty(0, np.float32)] * len(rows)
        self.seen = 0

    def push(self, frame: Frame) -> bool:
        """See `FrameSink`."""
        if self.seen in self._wanted and frame.detail is not None:
            self._held[self.seen] = frame.detail
        self.seen += 1
        while self.waiting and self.waiting[0].frames[-1] < self.seen:
            self._embed(self.waiting.pop(0))
        return bool(self.waiting)

    def finish(self) -> None:
        """See `FrameSink`."""

    def _embed(self, clip: _Clip) -> None:
        seconds = [float(self._times[k]) - clip.start for k in clip.frames]
        [vector] = self._embedder.embed([[self._held[k] for k in clip.frames]], [seconds])
        self.vectors[clip.number] = vector
        done = len(self.vectors) - len(self.waiting)
        self._on_share(done / len(self.vectors))
        needed = self._first[done] if self.waiting else self.seen
        for k in [k for k in self._held if k < needed]:
            del self._held[k]


def write_large(folder: Path, recording: str, rows: Sequence[SegmentRow], vectors: Float32) -> Path:
    """Store one vector a segment, beside the spans that they are of; complete or not at all."""
    buffer = io.BytesIO()
    spans = np.array([(row.start, row.end) for row in rows])
    np.savez_compressed(buffer, features=vectors.astype(np.float16), spans=spans)
    path = large_path(folder, recording)
    write_bytes(path, buffer.getvalue())
    return path
