"""CaptainCook4D as step vectors: `steps.json` and `step_embeddings.npz`, one row a step.

A row is the mean over a whole step, so it is known when the step has ended. Steps are ordered by
their end, and where two overlap, the later one's segment begins where the earlier one ended: each
segment then holds its own row and no other, and its context the rows of steps that had ended.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.errors import DataError
from egomon.train.features.feature_set import DatasetCard, FeatureSet, Track, check_row
from egomon.train.features.npz_files import check_finite
from egomon.train.features.rows import SegmentRow

STEPS_FILE = "steps.json"
VECTORS_FILE = "step_embeddings.npz"
DIM = 256
# Shortest segment: left of a step that ends together with another one.
_INSTANT_SECONDS = 1e-3

CARD = DatasetCard(
    name="CaptainCook4D step vectors",
    licence="labels MIT, features Apache-2.0",
    attribution="CaptainCook4D (Peddi et al., arXiv 2312.14556), annotations MIT; EgoVLP step "
    "vectors by zeynepoztunc/aml-procedural-mistake-detection, Apache-2.0",
    encoder=FrameEncoderCard(library="none", architecture="egovlp-steps", image_px=224, dim=DIM),
    fps=1.0,
    dim=DIM,
)


class _Step(msgspec.Struct, frozen=True):
    """One entry of `steps.json`."""

    start_time: float
    end_time: float
    description: str
    has_errors: bool


class _Steps(msgspec.Struct, frozen=True):
    """`steps.json`."""

    recordings: dict[str, list[_Step]]


def is_captaincook4d_steps(folder: Path) -> bool:
    """Return whether a folder has this layout."""
    return (folder / STEPS_FILE).is_file() and (folder / VECTORS_FILE).is_file()


def read_captaincook4d_steps(folder: Path) -> FeatureSet:
    """Read every recording; times are seconds, and a row's time is its segment's start.

    The number before the underscore of a recording's name is its recipe, which becomes the
    workflow; the number after it tells of the label and is no input anywhere.

    Raises:
        DataError: files that are damaged or do not belong together; names file and recording.
    """
    path = folder / STEPS_FILE
    try:
        recordings = msgspec.json.decode(path.read_bytes(), type=_Steps).recordings
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    except msgspec.DecodeError as error:
        raise DataError(f"{path}: {error}") from error
    vectors = _read_vectors(folder / VECTORS_FILE)
    segments: list[SegmentRow] = []
    tracks: dict[str, Track] = {}
    for name, steps in sorted(recordings.items()):
        if name not in vectors or len(vectors[name]) != len(steps):
            found = len(vectors[name]) if name in vectors else "no"
            raise DataError(
                f"{folder / VECTORS_FILE}: recording {name!r} has {found} rows, but {STEPS_FILE} "
                f"has {len(steps)} steps; take both files from one download"
            )
        order = sorted(range(len(steps)), key=lambda k: (steps[k].end_time, steps[k].start_time))
        rows = _segments(name, [steps[k] for k in order], str(path))
        if rows:
            tracks[name] = Track(np.array([row.start for row in rows]), vectors[name][order])
        segments += rows
    if not segments:
        raise DataError(f"{path} holds no step")
    return FeatureSet(CARD, tuple(segments), lambda name: tracks[name], str(folder))


def _segments(name: str, steps: list[_Step], where: str) -> list[SegmentRow]:
    """Make segments that follow each other of steps in the order of their ends."""
    rows: list[SegmentRow] = []
    last_end = 0.0
    for step in steps:
        row = SegmentRow(
            recording=name,
            start=step.start_time,
            end=step.end_time,
            label=int(step.has_errors),
            text=step.description,
            workflow=f"recipe {name.split('_')[0]}",
        )
        check_row(row, f"{where}: recording {name!r}, step {step.description!r}")
        start = max(row.start, last_end)
        last_end = max(row.end, start + _INSTANT_SECONDS)
        rows.append(msgspec.structs.replace(row, start=start, end=last_end))
    return rows


def _read_vectors(path: Path) -> dict[str, NDArray[np.float16]]:
    """Read (S, 256) of each recording, in the order of its steps in `steps.json`."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            names, offsets, rows = file["recordings"], file["offsets"], file["embeddings"]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{path} cannot be read as step vectors ({error})") from error
    if rows.ndim != 2 or rows.shape[1] != DIM:
        raise DataError(f"{path}: embeddings have shape {rows.shape}, expected (N, {DIM})")
    if offsets.shape != (len(names) + 1,) or (np.diff(offsets) < 0).any() or offsets[0] < 0:
        raise DataError(f"{path}: offsets must be ascending, one more than the recordings")
    if offsets[-1] != len(rows):
        raise DataError(f"{path}: offsets end at {offsets[-1]}, but there are {len(rows)} rows")
    check_finite(path, rows)
    return {str(name): rows[offsets[k] : offsets[k + 1]] for k, name in enumerate(names)}
