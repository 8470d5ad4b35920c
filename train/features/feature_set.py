"""Feature sets: frame vectors and labelled segments of many recordings, in a folder or in memory.

```
dataset.json               name, licence, encoder, fps, offset, dimension
segments.jsonl             one `SegmentRow` a line
features/<recording>.npz   features (N, D) float16/32, and times (N,) where the rate varies
large/<recording>.npz      optional: features (S, D_l), one vector a segment, and spans (S, 2)
encoder.safetensors        weights of a frame encoder that lives in its bundle alone
```
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from egomon.branches.bundle.card import FrameEncoderCard, LargeEncoderCard
from egomon.branches.interfaces import Float32, Float64
from egomon.errors import DataError
from egomon.train.features.large_vectors import large_reader
from egomon.train.features.npz_files import check_finite, read_arrays
from egomon.train.features.rows import SegmentRow

DATASET_FILE = "dataset.json"
SEGMENTS_FILE = "segments.jsonl"
FEATURES_FOLDER = "features"
ENCODER_FILE = "encoder.safetensors"


class DatasetCard(msgspec.Struct, frozen=True, kw_only=True):
    """`dataset.json`."""

    name: str
    licence: str
    attribution: str = ""
    encoder: FrameEncoderCard
    fps: float
    """Rows a second, where a recording has no `times`."""
    offset_seconds: float = 0.0
    """Time of row 0, where a recording has no `times`."""
    dim: int
    """Length D of a row."""
    large: LargeEncoderCard | None = None
    """Encoder of the large-branch vectors; None = there are none."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """Frame vectors of one recording."""

    times: Float64
    """(N,) seconds, ascending."""
    vectors: NDArray[np.float16] | Float32
    """(N, D)."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureSet:
    """Segments and access to their vectors; tracks are loaded on demand."""

    card: DatasetCard
    segments: tuple[SegmentRow, ...]
    track: Callable[[str], Track]
    where: str
    """Folder, for messages."""
    hours: Mapping[str, float] | None = None
    """Stream time of each recording where times are no seconds; None = from segments' spans."""
    seconds: Callable[[SegmentRow], tuple[float, float]] = lambda row: (row.start, row.end)
    """True span of a segment, also where times are no seconds."""
    large: Callable[[SegmentRow], Float32] | None = None
    """Large-branch vector (D_l,) of a segment; None = the set has none."""

    @property
    def recordings(self) -> list[str]:
        """Names, sorted."""
        return sorted({row.recording for row in self.segments})

    @property
    def labels(self) -> NDArray[np.int64]:
        """(S,); DataError where one is unknown: call `labelled` first."""
        return np.array([-1 if r.label is None else r.label for r in self.segments], np.int64)

    def select(self, keep: Iterable[str]) -> FeatureSet:
        """Only these recordings."""
        wanted = set(keep)
        rows = tuple(row for row in self.segments if row.recording in wanted)
        return replace(self, segments=rows)

    def split(self, name: str) -> FeatureSet:
        """Only segments of this split.

        Raises:
            DataError: if there are none.
        """
        rows = tuple(row for row in self.segments if row.split == name)
        if not rows:
            known = ", ".join(sorted({row.split for row in self.segments} - {""})) or "none"
            raise DataError(f"{self.where} has no segment of split {name!r}; it has: {known}")
        return replace(self, segments=rows)

    def labelled(self) -> FeatureSet:
        """Only segments with a known label.

        Raises:
            DataError: if there are none.
        """
        rows = tuple(row for row in self.segments if row.label is not None)
        if not rows:
            raise DataError(f"{self.where} has no labelled segment; set label to 0 or 1")
        return replace(self, segments=rows)

    def stream_hours(self) -> float:
        """Hours from the beginning of each recording to the end of its last segment."""
        if self.hours is not None:
            return sum(self.hours[name] for name in self.recordings)
        ends: dict[str, float] = {}
        for row in self.segments:
            ends[row.recording] = max(ends.get(row.recording, 0.0), row.end)
        return sum(ends.values()) / 3600


def check_two_classes(data: FeatureSet, which: str = "", advice: str = "") -> None:
    """Refuse a label column of one class.

    Args:
        data: the data to check.
        which: part of the set that it is, for the message.
        advice: advice to the user, for the end of the message.

    Raises:
        DataError: naming the class there is.
    """
    found = {row.label for row in data.segments} - {None}
    if len(found) < 2:
        raise DataError(
            f"{data.where}: every labelled segment{which} has label "
            f"{found.pop() if found else None}; training needs both correct (0) and mistake (1)"
            f"{advice}"
        )


def check_splits(data: FeatureSet) -> None:
    """Refuse recordings that lie in two splits.

    Raises:
        DataError: naming the first.
    """
    seen: dict[str, str] = {}
    for number, row in enumerate(data.segments, start=1):
        if seen.setdefault(row.recording, row.split) != row.split:
            raise DataError(
                f"{data.where}, segment {number}: recording {row.recording!r} is in the splits "
                f"{seen[row.recording]!r} and {row.split!r}; splits go by whole recordings"
            )


def read_feature_set(folder: Path) -> FeatureSet:
    """Open a feature set; every line is checked, vectors when their recording is loaded.

    Raises:
        DataError: naming file and row.
    """
    card = read_card(folder / DATASET_FILE)
    segments = read_segments(folder / SEGMENTS_FILE)
    for name in sorted({row.recording for row in segments}):
        if not (folder / FEATURES_FOLDER / f"{name}.npz").is_file():
            raise DataError(
                f"{folder / SEGMENTS_FILE} names recording {name!r}, but "
                f"{FEATURES_FOLDER}/{name}.npz is missing; run egomon extract again"
            )
    data = FeatureSet(
        card,
        segments,
        lambda name: read_track(folder, name, card),
        str(folder),
        large=None if card.large is None else large_reader(folder, card.large),
    )
    check_splits(data)
    return data


def read_card(path: Path) -> DatasetCard:
    """`dataset.json`, with the preprocessing that files of earlier versions leave out.

    Raises:
        DataError: it cannot be read, or is no such card.
    """
    try:
        card = msgspec.json.decode(path.read_bytes(), type=DatasetCard)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    except msgspec.DecodeError as error:
        raise DataError(f"{path} is no feature set's card: {error}") from error
    return msgspec.structs.replace(card, encoder=card.encoder.recorded())


def read_segments(path: Path) -> tuple[SegmentRow, ...]:
    """Rows of a `segments.jsonl`, blank lines left out.

    Raises:
        DataError: naming file and line.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = msgspec.json.decode(line, type=SegmentRow)
        except msgspec.DecodeError as error:
            raise DataError(f"{where}: {error}") from error
        rows.append(check_row(row, where))
    if not rows:
        raise DataError(f"{path} holds no segment")
    return tuple(rows)


def check_row(row: SegmentRow, where: str) -> SegmentRow:
    """Refuse impossible values.

    Raises:
        DataError: naming `where`.
    """
    if not row.recording or any(text in row.recording for text in ("/", "..", "\0")):
        raise DataError(f"{where}: recording {row.recording!r} is no plain file name")
    if not (np.isfinite(row.start) and np.isfinite(row.end) and 0 <= row.start < row.end):
        raise DataError(f"{where}: start {row.start} and end {row.end} are not 0 <= start < end")
    if row.context_start > row.start:
        raise DataError(f"{where}: context_start {row.context_start} is after start {row.start}")
    if row.label not in (0, 1, None):
        raise DataError(f"{where}: label {row.label} is not 0, 1 or null")
    return row


def read_track(folder: Path, recording: str, card: DatasetCard) -> Track:
    """Vectors of one recording.

    Raises:
        DataError: missing, damaged, of another dimension, or with NaN; names the row.
    """
    path = folder / FEATURES_FOLDER / f"{recording}.npz"
    vectors, times = read_arrays(path)
    if vectors.ndim != 2 or vectors.shape[1] != card.dim or not len(vectors):
        raise DataError(f"{path}: features have shape {vectors.shape}, expected (N, {card.dim})")
    check_finite(path, vectors)
    if times is None:
        times = np.arange(len(vectors)) / card.fps + card.offset_seconds
    if len(times) != len(vectors) or (np.diff(times) <= 0).any():
        raise DataError(f"{path}: times must be ascending, one for each of {len(vectors)} rows")
    return Track(times.astype(np.float64), vectors)
