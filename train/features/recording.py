"""A recording as its encoded frames."""

from __future__ import annotations

from dataclasses import dataclass

from egomon.branches.interfaces import Float32, Float64
from egomon.stream.segmenter import Span


@dataclass(frozen=True, slots=True)
class Picture:
    """A small picture of one moment, for a page."""

    t_seconds: float
    jpeg: bytes


@dataclass(frozen=True, slots=True, eq=False)
class RecordingVectors:
    """One recording, each frame encoded once."""

    name: str
    times: Float64
    """(N,) media seconds, ascending."""
    vectors: Float32
    """(N, D), as the encoder gave them."""
    spans: tuple[Span, ...] | None = None
    """Known segments; None = find them as the card's policy says."""
    pictures: tuple[Picture, ...] = ()
    """One every few seconds; none where only vectors are known."""
    end_seconds: float | None = None
    """Media seconds of the last decoded frame, sampled or not; None = that of the last row."""
    size: tuple[int, int] | None = None
    """Width and height of the video's pictures; None where only vectors are known."""
