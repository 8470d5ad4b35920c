"""The recordings that a bundle was taught from, as vectors beside its card.

They let `egomon teach --add` learn from old and new recordings together after the videos have
gone. Vectors are held as half floats; teaching uses the same, so that adding a recording gives
what teaching all at once gives. Past a bound they are left out.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from egomon.branches.interfaces import Float32
from egomon.errors import BundleError, UsageError
from egomon.stream.segmenter import Span
from egomon.train.features.recording import RecordingVectors
from egomon.train.features.recording_file import pack, unpack
from egomon.train.teach.base import Base

DEMONSTRATIONS_FILE = "demonstrations.npz"
MOST_BYTES = 128 << 20
"""About three hours of lite0 vectors at 4 per second."""


class SpanRow(msgspec.Struct, frozen=True):
    """A step with known boundaries."""

    start: float
    end: float
    text: str | None = None


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What teaching was asked for."""

    base: str
    weights_sha256: str | None
    """Of the base's encoder: vectors of another one cannot be compared."""
    names: tuple[str, ...]
    """Of the recordings."""
    spans: tuple[tuple[SpanRow, ...] | None, ...]
    workflows: tuple[str, ...] = ()
    """Of each recording; empty where all show one."""
    step_names: tuple[str, ...] = ()
    false_alarms_per_hour: float = 6.0

    @property
    def workflow_of_each(self) -> tuple[str, ...]:
        """Of each recording; empty texts where all show one."""
        return self.workflows or ("",) * len(self.names)


@dataclass(frozen=True, slots=True, eq=False)
class KeptRecordings:
    """Recordings, and what teaching was asked for."""

    about: About
    recordings: tuple[RecordingVectors, ...]


def halved(recording: RecordingVectors) -> RecordingVectors:
    """The recording with vectors that a half float holds."""
    limit = float(np.finfo(np.float16).max)
    vectors: Float32 = np.clip(recording.vectors, -limit, limit).astype(np.float16)
    return replace(recording, vectors=vectors.astype(np.float32))


def write_demonstrations(folder: Path, found: KeptRecordings) -> bool:
    """Write them into a bundle's folder; False where they pass the bound and are left out."""
    arrays = {"about": np.frombuffer(msgspec.json.encode(found.about), np.uint8)}
    for number, recording in enumerate(found.recordings):
        packed = pack(recording)
        packed["vectors"] = packed["vectors"].astype(np.float16)
        arrays |= {f"{number}/{name}": array for name, array in packed.items()}
    if sum(array.nbytes for array in arrays.values()) > MOST_BYTES:
        return False
    with (folder / DEMONSTRATIONS_FILE).open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    return True


def read_demonstrations(folder: Path) -> KeptRecordings:
    """What a bundle was taught from.

    Raises:
        UsageError: the bundle holds none.
        BundleError: the file is damaged.
    """
    path = folder / DEMONSTRATIONS_FILE
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            about = msgspec.json.decode(arrays["about"].tobytes(), type=About)
            parts = [
                {key.partition("/")[2]: arrays[key] for key in arrays.files if _of(key, i)}
                for i in range(len(about.names))
            ]
            recordings = tuple(
                replace(unpack(of, name), spans=_spans(rows), workflow=workflow)
                for of, name, rows, workflow in zip(
                    parts, about.names, about.spans, about.workflow_of_each, strict=True
                )
            )
    except FileNotFoundError as error:
        raise UsageError(
            f"{folder} does not hold the recordings that it was taught from, so none can be added; "
            "teach it again from all recordings"
        ) from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(
            f"{path} is damaged ({error}); teach the bundle again from all recordings"
        ) from error
    return KeptRecordings(about, recordings)


def weights_of(base: Base) -> str | None:
    """Hash of the encoder's weights; None for an encoder that does not say."""
    found: str | None = getattr(base.encoder, "weights_sha256", None)
    return found


def about_of(
    ref: str,
    base: Base,
    recordings: Sequence[RecordingVectors],
    step_names: Sequence[str],
    false_alarms_per_hour: float,
) -> About:
    """What `write_demonstrations` keeps beside the vectors; `ref` is how `base` was asked for."""
    return About(
        base=ref,
        weights_sha256=weights_of(base),
        names=tuple(r.name for r in recordings),
        spans=tuple(
            None if r.spans is None else tuple(SpanRow(s.t_start, s.t_end, s.text) for s in r.spans)
            for r in recordings
        ),
        workflows=tuple(r.workflow for r in recordings) if recordings[0].workflow else (),
        step_names=tuple(step_names),
        false_alarms_per_hour=false_alarms_per_hour,
    )


def _of(key: str, number: int) -> bool:
    return key.partition("/")[0] == str(number)


def _spans(rows: Sequence[SpanRow] | None) -> tuple[Span, ...] | None:
    return None if rows is None else tuple(Span(row.start, row.end, row.text) for row in rows)
