"""What is known of a recording so far: an interrupted extraction goes on within it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from egomon.branches.interfaces import Float32, Float64
from egomon.train.features.large_vectors import VectorBySpan
from egomon.train.features.rows import SegmentRow
from egomon.train.features.write_feature_set import write_bytes

PARTIAL_FOLDER = "partial"


@dataclass(frozen=True, slots=True, eq=False)
class PartialVectors:
    """Vectors of the beginning of a recording, or of all of it."""

    times: Float64
    """(N,) seconds of the sampled frames."""
    vectors: NDArray[np.float16] | Float32
    """(N, D), of a whole number of batches unless it is the whole recording."""
    whole: bool = False
    large: VectorBySpan = field(default_factory=dict)
    """Large-branch vectors (D_l,) by span."""

    @classmethod
    def empty(cls, dim: int) -> PartialVectors:
        """Nothing is known."""
        return cls(np.empty(0), np.empty((0, dim), np.float16))

    def cut(self, count: int) -> PartialVectors:
        """Only the first `count` frames."""
        return replace(self, times=self.times[:count], vectors=self.vectors[:count])

    def first_row(self, rows: Sequence[SegmentRow]) -> int:
        """First sampled frame that must be read again, for the pixels of segments without vector.

        Args:
            rows: all segments whose large-branch vectors are wanted.
        """
        missing = [row.start for row in rows if (row.start, row.end) not in self.large]
        if not missing:
            return len(self.times)
        # A segment without a frame takes the one before it.
        return max(0, int(np.searchsorted(self.times, min(missing), side="left")) - 1)


def partial_path(folder: Path, recording: str) -> Path:
    """File of one recording."""
    return folder / PARTIAL_FOLDER / f"{recording}.npz"


def write_partial(path: Path, key: str, known: PartialVectors) -> None:
    """Store what is known, complete or not at all.

    Args:
        path: of the file.
        key: what the vectors depend on; another key makes the file worthless.
        known: what is stored.
    """
    large = list(known.large.values())
    buffer = io.BytesIO()
    np.savez(
        buffer,
        key=np.array(key),
        times=known.times,
        features=known.vectors.astype(np.float16),
        spans=np.array(list(known.large), np.float64).reshape(-1, 2),
        large=np.array(large, np.float16) if large else np.empty((0, 0), np.float16),
    )
    write_bytes(path, buffer.getvalue())


def read_partial(path: Path, key: str, dim: int) -> PartialVectors | None:
    """What an earlier run left; None where it left nothing of use."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        times, vectors = arrays["times"], arrays["features"]
        spans, large = arrays["spans"], arrays["large"]
        if str(arrays["key"]) != key or vectors.shape != (len(times), dim):
            return None
        spans_known = [(float(a), float(b)) for a, b in spans]
        known = dict(zip(spans_known, large, strict=True))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, EOFError):
        return None
    return PartialVectors(times, vectors, large=known)
