"""Video files to frame vectors: decoded once, encoded in batches on all cores, kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np

from egomon.branches.interfaces import Float32, FrameEncoder
from egomon.errors import DataError
from egomon.stream.frame import Frame, UInt8Image
from egomon.stream.pictures.jpeg import COARSE, jpeg_of
from egomon.stream.pictures.scaling import scaled
from egomon.stream.reader import SourceReader
from egomon.stream.sampling_grid import SamplingGrid
from egomon.stream.sources.open import open_source
from egomon.train.features.encode_pool import EncodePool, FrameBatches
from egomon.train.features.recording import Picture, RecordingVectors
from egomon.train.features.vector_cache import VectorCache, vector_key

PICTURE_SECONDS = 2.0
"""Distance of the small pictures."""
PICTURE_PX = 96

OnShare = Callable[[float], None]
"""Hears the share of a recording that is read, in [0, 1]."""


class BatchEncoder:
    """A reader's sink: encodes frames in batches on all cores and keeps vectors, not pixels."""

    def __init__(self, encoder: FrameEncoder, on_frame: Callable[[float], None]) -> None:
        self._on_frame = on_frame
        self._pool = EncodePool(encoder)
        self._batches = FrameBatches(self._pool)
        self.times: list[float] = []
        self.pictures: list[Picture] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.__exit__(*exc)

    def push(self, frame: Frame) -> bool:
        """See `FrameSink`."""
        self.times.append(frame.t_seconds)
        if not self.pictures or frame.t_seconds - self.pictures[-1].t_seconds >= PICTURE_SECONDS:
            self.pictures.append(Picture(frame.t_seconds, small_jpeg(frame.image)))
        self._batches.push(frame.image)
        self._on_frame(frame.t_seconds)
        return True

    def finish(self) -> None:
        """Encode what waits."""
        self._batches.finish()

    def vectors(self) -> Float32:
        """(N, D) of all frames, after `finish`."""
        return np.concatenate(self._batches.vectors())


def small_jpeg(image: UInt8Image) -> bytes:
    """JPEG of an RGB picture, `PICTURE_PX` high."""
    high, wide = image.shape[:2]
    small = scaled(image, max(1, round(wide * PICTURE_PX / high)), PICTURE_PX)
    return jpeg_of(small, quantizer=COARSE)


def encode_video(
    path: Path,
    encoder: FrameEncoder,
    fps: float,
    on_share: OnShare = lambda share: None,
    *,
    cache: VectorCache | None = None,
    until_seconds: float | None = None,
) -> RecordingVectors:
    """Frame vectors of a recording on the sampling grid, each frame encoded once.

    Args:
        path: the video.
        encoder: of its frames.
        fps: of the grid.
        on_share: hears how far it is.
        cache: where vectors of the same file by the same encoder may lie, and are kept.
        until_seconds: only so much of the recording; a part is not cached.

    Raises:
        SourceOpenError: it cannot be opened.
        DataError: it holds no frame.
    """
    if until_seconds is not None:
        cache = None
    key = None if cache is None else vector_key(path, encoder, fps)
    if cache is not None and key is not None and (known := cache.read(key, path.name)) is not None:
        on_share(1.0)
        return known
    with open_source(str(path), name="encode", kind="file") as source:
        seconds = source.info.duration_seconds or 0.0

        def tell(t_seconds: float) -> None:
            on_share(min(1.0, t_seconds / seconds) if seconds else 0.0)

        with BatchEncoder(encoder, tell) as sink:
            reader = SourceReader(
                source,
                sink,
                grid=SamplingGrid(fps),
                prepare=encoder.prepare,
                range_seconds=(0.0, until_seconds),
            )
            while (grab := source.read()) is not None and reader.take(grab):
                pass
            sink.finish()
        end_seconds = reader.counts.t_seconds
        size = source.info.width, source.info.height
    if not sink.times:
        raise DataError(f"{path} holds no frame that can be decoded; record it again")
    made = RecordingVectors(
        path.name,
        np.array(sink.times),
        sink.vectors(),
        pictures=tuple(sink.pictures),
        end_seconds=end_seconds,
        size=size,
    )
    if cache is not None and key is not None:
        cache.write(key, made)
    return made
