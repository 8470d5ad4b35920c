"""Small videos, and encoders that tell which frames they were given."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from egomon.branches.bundle.card import FrameEncoderCard, LargeEncoderCard
from egomon.branches.interfaces import Float32
from egomon.train.extraction.find_videos import LabelledVideo
from egomon.train.extraction.output import ExtractionFolder
from egomon.train.features.feature_set import DatasetCard
from egomon.train.features.rows import SegmentRow

RATE = 10
"""Frames a second of the videos."""
FPS = 5.0
"""Of the sampling grid: row k is frame 2 k, of brightness 8 k."""


def grey_video(path: Path, frames: int, *, width: int = 64, height: int = 64) -> Path:
    """Frame k has brightness 4 k."""
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=RATE)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p"
        for k in range(frames):
            image = np.full((height, width, 3), 4 * k % 256, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))
    return path


def labelled(path: Path, *spans: tuple[float, float]) -> LabelledVideo:
    """A video with these segments."""
    rows = tuple(SegmentRow(recording=path.stem, start=a, end=b, label=0) for a, b in spans)
    return LabelledVideo(path.stem, path, rows)


class MeanColour:
    """A frame encoder that counts its frames, and may fail at one of them."""

    image_px, dim = 16, 3
    card = FrameEncoderCard(library="timm", architecture="mean", weights="x", image_px=16, dim=3)

    def __init__(self, fails_after: int | None = None) -> None:
        self.frames, self._fails_after = 0, fails_after
        self._lock = threading.Lock()

    def prepare(self, rgb: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(rgb[:16, :16])

    def encode(self, images: np.ndarray) -> Float32:
        with self._lock:
            if self._fails_after is not None and self.frames >= self._fails_after:
                raise RuntimeError("no more")
            self.frames += len(images)
        return images.mean(axis=(1, 2)).astype(np.float32)


class ClipRange:
    """A clip encoder: darkest and brightest frame, number of frames, first and last second."""

    def __init__(self, **changes: Any) -> None:
        fields: dict[str, Any] = {"weights": "none", "frames": 4, "frame_px": 32, "dim": 5}
        self.card = LargeEncoderCard(**(fields | changes))
        self.batches: list[int] = []

    def embed(
        self, clips: Sequence[Sequence[np.ndarray]], times: Sequence[Sequence[float]]
    ) -> Float32:
        self.batches.append(len(clips))
        rows = []
        for clip, seconds in zip(clips, times, strict=True):
            seen = [float(image.mean()) for image in clip]
            rows.append([min(seen), max(seen), len(clip), seconds[0], seconds[-1]])
        return np.array(rows, np.float32)


def begun_folder(path: Path, embedder: ClipRange | None = None) -> ExtractionFolder:
    """An extraction's folder for these encoders."""
    large = None if embedder is None else embedder.card
    card = DatasetCard(
        name="made",
        licence="",
        encoder=MeanColour.card.recorded(),
        fps=FPS,
        dim=MeanColour.dim,
        large=large,
    )
    return ExtractionFolder.begin(path, card)
