"""An encoded recording as plain arrays, for a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from egomon.train.features.recording import Picture, RecordingVectors


def pack(recording: RecordingVectors) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays that `unpack` reads; known segments are left out."""
    jpegs = [picture.jpeg for picture in recording.pictures]
    end = recording.times[-1] if recording.end_seconds is None else recording.end_seconds
    return {
        "times": recording.times,
        "vectors": recording.vectors,
        "end_seconds": np.array(end, np.float64),
        "picture_times": np.array([p.t_seconds for p in recording.pictures], np.float64),
        "picture_sizes": np.array([len(jpeg) for jpeg in jpegs], np.int64),
        "size": np.array(recording.size or (0, 0), np.int64),
        "pictures": np.frombuffer(b"".join(jpegs), np.uint8),
    }


def unpack(arrays: Mapping[str, np.ndarray[Any, Any]], name: str) -> RecordingVectors:
    """The recording, called `name`.

    Raises:
        KeyError: an array is missing.
        ValueError: shapes do not fit or a value is not finite.
    """
    times = np.asarray(arrays["times"], np.float64)
    vectors = np.asarray(arrays["vectors"], np.float32)
    if vectors.ndim != 2 or times.shape != (len(vectors),) or not len(vectors):
        raise ValueError(f"times {times.shape} and vectors {vectors.shape} do not fit")
    if not (np.isfinite(vectors).all() and np.isfinite(times).all()):
        raise ValueError("a value is not finite")
    sizes = np.asarray(arrays["picture_sizes"], np.int64)
    at, data = np.asarray(arrays["picture_times"], np.float64), arrays["pictures"].tobytes()
    if at.shape != sizes.shape or (sizes < 0).any() or int(sizes.sum()) != len(data):
        raise ValueError("the pictures do not fit")
    ends = np.cumsum(sizes)
    width, height = (int(side) for side in arrays["size"])
    pictures = tuple(
        Picture(float(t), data[int(end - size) : int(end)])
        for t, size, end in zip(at, sizes, ends, strict=True)
    )
    return RecordingVectors(
        name,
        times,
        vectors,
        pictures=pictures,
        end_seconds=float(arrays["end_seconds"]),
        size=(width, height) if width else None,
    )
