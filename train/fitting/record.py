"""`train_record.json` of a bundle: how it was made, so that it can be made again."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import version
from importlib.util import find_spec

import msgspec
import numpy as np

from egomon.train.features.feature_set import FeatureSet
from egomon.train.fitting.recipe import Recipe

_PACKAGES = ("egomon", "numpy", "torch")


class EpochRecord(msgspec.Struct, frozen=True):
    """Course of one epoch."""

    loss: float
    """Mean over its batches."""
    roc_auc: float
    """This and the next: on the held segments, after it."""
    pr_auc: float


class FitRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Course of the heads of one seed."""

    seed: int
    best_epoch: int
    """From 1; its weights are the fit's."""
    epochs: list[EpochRecord]


class DataRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What was trained on, labelled segments only."""

    name: str
    recordings: int
    segments: int
    mistakes: int
    segments_sha256: str
    """Over the rows as JSON lines, in order."""
    vectors_sha256: str
    """Over times and frame vectors of the recordings, sorted by name."""
    large_sha256: str | None
    """Over the large-branch vectors in the order of the segments; None = there are none."""


class TrainRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The file."""

    schema: int = 1
    command: str
    """Empty where it was not a command."""
    recipe: Recipe
    data: DataRecord
    versions: dict[str, str]
    started: str
    """ISO 8601, UTC."""
    seconds: float
    """Until the bundle was written; after an interruption, of the last part."""
    fits: list[FitRecord]

    def to_json(self) -> bytes:
        """The file's bytes."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def describe_data(data: FeatureSet) -> DataRecord:
    """Count and hash a feature set.

    Raises:
        DataError: if its vectors cannot be read.
    """
    segments, vectors = hashlib.sha256(), hashlib.sha256()
    for row in data.segments:
        segments.update(msgspec.json.encode(row) + b"\n")
    for name in data.recordings:
        track = data.track(name)
        for array in (track.times, track.vectors):
            vectors.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            vectors.update(np.ascontiguousarray(array).data)
    large = None
    if data.large is not None:
        large = hashlib.sha256()
        for row in data.segments:
            large.update(np.ascontiguousarray(data.large(row)).data)
    return DataRecord(
        name=data.card.name,
        recordings=len(data.recordings),
        segments=len(data.segments),
        mistakes=int(data.labels.sum()),
        segments_sha256=segments.hexdigest(),
        vectors_sha256=vectors.hexdigest(),
        large_sha256=None if large is None else large.hexdigest(),
    )


def versions() -> dict[str, str]:
    """Of Python and of the packages that the weights depend on."""
    found = {name: version(name) for name in _PACKAGES if find_spec(name) is not None}
    return {"python": platform.python_version()} | found
