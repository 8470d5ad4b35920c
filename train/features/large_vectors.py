"""`large/<recording>.npz`: one large-branch vector a segment, by the span it is of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from egomon.branches.bundle.card import LargeEncoderCard
from egomon.branches.interfaces import Float32
from egomon.errors import DataError
from egomon.train.features.npz_files import check_finite, read_arrays
from egomon.train.features.rows import SegmentRow

LARGE_FOLDER = "large"
TimeRange = tuple[float, float]
VectorBySpan = dict[TimeRange, NDArray[np.float16] | Float32]
"""Vectors (D_l,) of segments."""


def large_path(folder: Path, recording: str) -> Path:
    """File of one recording."""
    return folder / LARGE_FOLDER / f"{recording}.npz"


def read_large(folder: Path, recording: str, card: LargeEncoderCard) -> VectorBySpan:
    """Vectors (D_l,) of one recording.

    Raises:
        DataError: missing, damaged, of another dimension, or with NaN; names the row.
    """
    path = large_path(folder, recording)
    vectors, spans = read_arrays(path, "spans")
    if spans is None or vectors.shape != (len(spans), card.dim):
        raise DataError(f"{path}: features have shape {vectors.shape}, expected (S, {card.dim})")
    check_finite(path, vectors)
    return {(float(a), float(b)): row for (a, b), row in zip(spans, vectors, strict=True)}


def large_reader(folder: Path, card: LargeEncoderCard) -> Callable[[SegmentRow], Float32]:
    """Return a reader of a segment's vector; a file is read at its first use."""
    known: dict[str, VectorBySpan] = {}

    def of(row: SegmentRow) -> Float32:
        if row.recording not in known:
            known[row.recording] = read_large(folder, row.recording, card)
        vector = known[row.recording].get((row.start, row.end))
        if vector is None:
            raise DataError(
                f"{large_path(folder, row.recording)} has no vector for the segment from "
                f"{row.start} to {row.end} s; run egomon extract --large again"
            )
        return vector.astype(np.float32)

    return of
