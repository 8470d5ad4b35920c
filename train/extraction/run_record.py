"""What an extraction did: the report of the verb, and a record beside the vectors."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table

from egomon.stream.redact import redact
from egomon.train.features.feature_set import DatasetCard
from egomon.train.features.write_feature_set import write_bytes

RUNS_FOLDER = "runs"
PACKAGES = ("egomon", "av", "numpy", "torch", "open_clip_torch", "timm", "transformers", "ray")
"""Whose versions may change vectors."""


@dataclass(frozen=True, slots=True)
class RecordingResult:
    """How one recording went."""

    name: str
    state: Literal["encoded", "kept", "skipped"]
    """Encoded by this run, finished by an earlier one, or left out as damaged."""
    frames: int = 0
    """Encoded by this run."""
    segments: int = 0
    """Embedded by this run."""
    lost_frames: int = 0
    """Damaged frames that could not be decoded."""
    seconds: float = 0.0
    reason: str = ""
    """Of a skipped one."""


@dataclass(frozen=True, slots=True)
class ExtractReport:
    """Result of an extraction."""

    folder: Path
    segments: int
    """In the feature set's index."""
    recordings: tuple[RecordingResult, ...]
    """Of this run's shard, sorted by name."""
    seconds: float
    record: Path
    """File of the run record."""

    def count(self, state: str) -> int:
        """Recordings of a state."""
        return sum(result.state == state for result in self.recordings)

    @property
    def encoded(self) -> int:
        """Recordings that this run encoded."""
        return self.count("encoded")

    @property
    def kept(self) -> int:
        """Recordings that an earlier run had finished."""
        return self.count("kept")

    @property
    def skipped(self) -> dict[str, str]:
        """Damaged recordings and what is wrong with them."""
        return {r.name: r.reason for r in self.recordings if r.state == "skipped"}

    @property
    def frames_per_second(self) -> float:
        """Of the encoding, over all jobs."""
        return sum(result.frames for result in self.recordings) / max(self.seconds, 1e-9)

    @property
    def segments_per_second(self) -> float:
        """Of the large branch, over all jobs."""
        return sum(result.segments for result in self.recordings) / max(self.seconds, 1e-9)

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "out": str(self.folder),
            "encoded": self.encoded,
            "kept": self.kept,
            "skipped": self.skipped,
            "segments": self.segments,
            "seconds": round(self.seconds, 3),
            "frames_per_second": round(self.frames_per_second, 2),
            "segments_per_second": round(self.segments_per_second, 3),
            "record": str(self.record),
        }

    def table(self) -> RenderableType:
        """Render the report as lines of text."""
        table = Table(
            "feature set", "encoded now", "kept", "skipped", "segments", "frames/s", "segments/s"
        )
        speeds = f"{self.frames_per_second:.1f}", f"{self.segments_per_second:.1f}"
        counts = (self.encoded, self.kept, len(self.skipped), self.segments)
        table.add_row(str(self.folder), *map(str, counts), *speeds)
        lost = {r.name: r.lost_frames for r in self.recordings if r.lost_frames}
        lines = [f"skipped {name}: {reason}" for name, reason in self.skipped.items()]
        lines += [f"{name}: {count} damaged frames left out" for name, count in lost.items()]
        return Group(table, *lines)


def write_record(
    out: Path,
    card: DatasetCard,
    options: dict[str, Any],
    results: Sequence[RecordingResult],
    *,
    started: datetime,
    ended: datetime,
    seconds: float,
    error: str | None = None,
) -> Path:
    """Write `runs/<time>.json`: command, versions, hashes, counts and seconds of one run.

    Args:
        out: folder of the feature set.
        card: its encoders, with the hashes of their weights.
        options: of the run.
        results: each recording.
        started: by the wall clock.
        ended: likewise.
        seconds: by the monotonic clock.
        error: the sentence that ended the run early.

    Raises:
        DataError: it cannot be written.
    """
    stamp = started.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    shard = options.get("shard")
    name = stamp if shard is None else f"{stamp}-{str(shard).replace('/', 'of')}"
    record = {
        "command": [Path(sys.argv[0]).name, *(redact(word) for word in sys.argv[1:])],
        "started": started.isoformat(),
        "ended": ended.isoformat(),
        "seconds": round(seconds, 3),
        "error": error,
        "versions": _versions(),
        "options": options,
        "fps": card.fps,
        "encoder": card.encoder,
        "large": card.large,
        "counts": {
            "encoded": sum(r.state == "encoded" for r in results),
            "kept": sum(r.state == "kept" for r in results),
            "skipped": sum(r.state == "skipped" for r in results),
            "frames": sum(r.frames for r in results),
            "segments": sum(r.segments for r in results),
            "lost_frames": sum(r.lost_frames for r in results),
        },
        "recordings": [r for r in results if r.state != "kept"],
    }
    path = out / RUNS_FOLDER / f"{name}.json"
    write_bytes(path, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
    return path


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
