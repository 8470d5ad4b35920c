"""Real clips as frame vectors: each frame is encoded once, runs are put together from these.

A run of a benchmark is a sequence of clips. Encoding each run would take an hour; here a run is
played from the vectors of its clips; all else is what a user runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from egomon.branches.interfaces import Float32
from egomon.train.features.encode_video import encode_video
from egomon.train.features.recording import RecordingVectors
from egomon.train.teach.base import Base


def clip_vectors(video: Path, base: Base, fps: float, kept: Path, limit: int | None) -> Float32:
    """(N, D) vectors at `fps` from the clip's first frame on, from `kept` where they lie there.

    N is even at 4 per second and more: clips are cut to half seconds, so that the grid of a run
    falls on the same frames whatever comes before.
    """
    weights = getattr(base.encoder, "weights_sha256", None) or "x"
    file = kept / f"{video.parent.name}-{video.stem}-{weights[:8]}-{fps:g}.npz"
    if not file.exists():
        kept.mkdir(parents=True, exist_ok=True)
        made = encode_video(video, base.encoder, fps)
        np.savez(file, vectors=made.vectors)
    with np.load(file) as arrays:
        vectors = np.asarray(arrays["vectors"], np.float32)[:limit]
    half = max(1, round(fps / 2))
    return vectors[: len(vectors) // half * half]


@dataclass(frozen=True, slots=True)
class Piece:
    """One clip in a run."""

    vectors: Float32
    """(N, D) at the run's rate."""
    text: str
    tag: str | None = None
    """Kind of the mistake."""


@dataclass(frozen=True, slots=True)
class Row:
    """A labelled piece of a run, see `egomon.train.metrics.events.Labelled`."""

    recording: str
    start: float
    end: float
    label: int
    tags: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A made recording with its labels."""

    name: str
    vectors: Float32
    """(N, D)."""
    fps: float
    rows: tuple[Row, ...]

    @classmethod
    def of(cls, name: str, pieces: Sequence[Piece], fps: float) -> Self:
        """One clip after the other."""
        ends = np.cumsum([len(piece.vectors) for piece in pieces]) / fps
        starts = [0.0, *ends[:-1]]
        rows = tuple(
            Row(name, float(a), float(b), int(p.tag is not None), (p.tag,) if p.tag else (), p.text)
            for p, a, b in zip(pieces, starts, ends, strict=True)
        )
        return cls(name, np.concatenate([piece.vectors for piece in pieces]), fps, rows)

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.vectors) / self.fps

    @property
    def correct(self) -> bool:
        """Nothing in it is a mistake."""
        return not any(row.label for row in self.rows)

    def recording(self) -> RecordingVectors:
        """As `teach` takes it."""
        return RecordingVectors(self.name, np.arange(len(self.vectors)) / self.fps, self.vectors)
