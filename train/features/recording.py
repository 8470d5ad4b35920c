"""A recording as its encoded frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from egomon.branches.interfaces import Float32, Float64
from egomon.errors import DataError
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
    workflow: str = ""
    """Name of the workflow that it shows; empty where all recordings show one."""


def check_vectors(recording: RecordingVectors) -> None:
    """Refuse arrays that are no recording.

    Raises:
        DataError: naming the recording and the first row that is wrong.
    """
    vectors, times = recording.vectors, recording.times
    if vectors.ndim != 2 or times.shape != (len(vectors),) or not len(vectors):
        raise DataError(
            f"{recording.name}: expected vectors (N, D) and times (N,) with N above 0, found "
            f"{vectors.shape} and {times.shape}"
        )
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise DataError(f"{recording.name}: frame {bad[0]} has a value that is not finite")
    if (np.diff(times) <= 0).any():
        row = int(np.flatnonzero(np.diff(times) <= 0)[0]) + 1
        raise DataError(f"{recording.name}: frame {row} is not later than the one before it")
