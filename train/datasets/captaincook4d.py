"""CaptainCook4D: `annotations.json` and pooled PE-Core features, one row a second."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.errors import DataError
from egomon.train.features.feature_set import (
    DatasetCard,
    FeatureSet,
    Track,
    check_splits,
    read_track,
)
from egomon.train.features.rows import SegmentRow

ANNOTATIONS_FILE = "annotations.json"

ENCODER = FrameEncoderCard(
    library="timm",
    architecture="vit_pe_core_base_patch16_224.fb",
    weights="pretrained",
    image_px=224,
    crop="center",
    crop_pct=1.0,
    interpolation="bicubic",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    dim=768,
)
"""The tower that made the published features: pooled, before the projection, num_classes = 0.

Crop and normalisation are timm's own for this tower; the extractor's are not documented."""

CARD = DatasetCard(
    name="CaptainCook4D",
    licence="labels MIT, features Apache-2.0",
    attribution="CaptainCook4D (Peddi et al., arXiv 2312.14556), annotations MIT; PE-Core features "
    "by ValeriaMegale/aml-2025-mistake-detection, Apache-2.0",
    encoder=ENCODER,
    fps=1.0,
    offset_seconds=0.5,
    dim=768,
)


def is_captaincook4d(folder: Path) -> bool:
    """Return whether a folder has this layout."""
    return (folder / ANNOTATIONS_FILE).is_file() and (folder / "features").is_dir()


def read_captaincook4d(folder: Path) -> FeatureSet:
    """Every recording that has features; omitted steps (start < 0) are left out.

    Steps are sorted by start and ends are kept as annotated; a last step that begins after the
    last row falls back to that row when it is gathered.

    Raises:
        DataError: naming file, recording and step.
    """
    path = folder / ANNOTATIONS_FILE
    try:
        annotations = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, Any]])
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    except msgspec.DecodeError as error:
        raise DataError(f"{path}: {error}") from error
    rows: list[SegmentRow] = []
    for name, recording in sorted(annotations.items()):
        if (folder / "features" / f"{name}.npz").is_file():
            rows += _rows(path, name, recording)
    if not rows:
        raise DataError(f"{folder}: no recording of {ANNOTATIONS_FILE} has features/<name>.npz")

    @lru_cache(maxsize=8)
    def track(name: str) -> Track:
        return read_track(folder, name, CARD)

    data = FeatureSet(CARD, tuple(rows), track, str(folder))
    check_splits(data)
    return data


def _rows(path: Path, name: str, recording: dict[str, Any]) -> list[SegmentRow]:
    rows = []
    for number, step in enumerate(recording.get("steps", ())):
        try:
            start, end = float(step["start_time"]), float(step["end_time"])
            if start < 0:
                continue
            row = SegmentRow(
                recording=name,
                start=start,
                end=end,
                label=int(step["has_errors"]),
                split=str(recording.get("split", "")),
                tags=tuple(sorted({str(error["tag"]) for error in step.get("errors", ())})),
                text=str(step.get("description", "")),
                workflow=str(recording.get("activity_name", "")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: recording {name!r}, step {number}: {error!r}") from error
        if not row.start < row.end:
            raise DataError(f"{path}: recording {name!r}, step {number}: end is not after start")
        rows.append(row)
    return sorted(rows, key=lambda row: (row.start, row.end))
