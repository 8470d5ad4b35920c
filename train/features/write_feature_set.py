"""Writes feature sets; each file is complete or not there, so a crash costs one recording."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from egomon.branches.interfaces import Float32, Float64
from egomon.errors import DataError
from egomon.train.features.feature_set import (
    DATASET_FILE,
    FEATURES_FOLDER,
    SEGMENTS_FILE,
    DatasetCard,
    FeatureSet,
    check_row,
)
from egomon.train.features.large_vectors import VectorBySpan, large_path
from egomon.train.features.rows import SegmentRow


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that a reader never sees half of it.

    Raises:
        DataError: the disk is full, or the folder cannot be written.
    """
    try:
        if isinstance(path, Path):
            _replace_file(path, data)
        else:
            path.write_bytes(data)  # an object store shows an object when all of it has arrived
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror or error}); make room there or choose "
            "another folder; what was written before is whole and is kept"
        ) from error


def _replace_file(path: Path, data: bytes) -> None:
    """Write beside the target, sync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Another process, another shard of the same extraction, may write the same file.
    new = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.new")
    try:
        with new.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def write_track(
    folder: Path,
    recording: str,
    vectors: NDArray[np.float16] | Float32,
    times: Float64 | None = None,
    kind: str = FEATURES_FOLDER,
) -> Path:
    """Store the vectors of one recording as float16; `times` where the rate varies."""
    arrays = {"features": vectors.astype(np.float16)}
    if times is not None:
        arrays["times"] = times.astype(np.float64)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    path = folder / kind / f"{recording}.npz"
    write_bytes(path, buffer.getvalue())
    return path


def write_large(
    folder: Path,
    recording: str,
    rows: Iterable[SegmentRow],
    vectors: VectorBySpan,
) -> Path:
    """Store one vector (D_l,) a segment, beside the spans that they are of."""
    buffer = io.BytesIO()
    spans = [(row.start, row.end) for row in rows]
    features = np.stack([vectors[span] for span in spans]).astype(np.float16)
    np.savez_compressed(buffer, features=features, spans=np.array(spans))
    path = large_path(folder, recording)
    write_bytes(path, buffer.getvalue())
    return path


def write_index(folder: Path, card: DatasetCard, segments: Iterable[SegmentRow]) -> None:
    """Write `dataset.json` and `segments.jsonl`.

    Raises:
        DataError: if a segment could not be read again.
    """
    rows = [check_row(row, f"segment {k}") for k, row in enumerate(segments, start=1)]
    lines = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    write_bytes(folder / SEGMENTS_FILE, lines)
    write_card(folder / DATASET_FILE, card)


def write_card(path: Path, card: DatasetCard) -> None:
    """Write `dataset.json`.

    Raises:
        DataError: it cannot be written.
    """
    write_bytes(path, msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")


def write_feature_set(folder: Path, data: FeatureSet) -> Path:
    """Store a whole feature set, for example one that a reader made from a published layout."""
    for name in data.recordings:
        track = data.track(name)
        write_track(folder, name, track.vectors, track.times)
    write_index(folder, data.card, data.segments)
    return folder
