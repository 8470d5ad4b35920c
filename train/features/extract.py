"""`egomon extract`: labelled videos to a feature set, each frame encoded once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import safetensors.numpy
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from egomon.branches.bundle.card import BundleCard
from egomon.branches.bundle.weights import Tensors, part
from egomon.branches.interfaces import FrameEncoder
from egomon.branches.load_bundle import load_bundle
from egomon.errors import DataError, UsageError
from egomon.train.datasets.holoassist_files import is_published
from egomon.train.datasets.table import read_table
from egomon.train.features.encode_video import encode_video
from egomon.train.features.extract_large import Embedder, embed_segments, open_large, write_large
from egomon.train.features.feature_set import (
    DATASET_FILE,
    ENCODER_FILE,
    FEATURES_FOLDER,
    DatasetCard,
    read_feature_set,
    read_track,
)
from egomon.train.features.large_vectors import large_path, read_large
from egomon.train.features.rows import SegmentRow
from egomon.train.features.write_feature_set import write_bytes, write_index, write_track
from egomon.train.teach.base import open_base

VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm")
HOLOASSIST_VIDEOS = "*/Export_py/Video_pitchshift.mp4"


@dataclass(frozen=True, slots=True)
class ExtractReport:
    """Result of an extraction."""

    folder: Path
    encoded: int
    """Recordings that this run encoded."""
    kept: int
    """Recordings that an earlier run had finished."""
    segments: int

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "out": str(self.folder),
            "encoded": self.encoded,
            "kept": self.kept,
            "segments": self.segments,
        }

    def table(self) -> Table:
        """Render the report as lines of text."""
        table = Table("feature set", "encoded now", "kept", "segments")
        table.add_row(str(self.folder), str(self.encoded), str(self.kept), str(self.segments))
        return table


def extract(
    videos: Path, out: Path, *, model: str = "workbench", large: bool = False, quiet: bool = False
) -> ExtractReport:
    """Encode every video that the segments name; an interrupted run goes on.

    A recording's file appears only when it is complete. The index is written last, so a folder
    with `dataset.json` is a whole feature set.

    Args:
        videos: folder of videos with `segments.jsonl`, `segments.csv` or HoloAssist's JSON.
        out: folder of the feature set.
        model: bundle whose frame encoder and sampling rate are used.
        large: also run the bundle's large encoder, one vector a segment.
        quiet: without a progress bar on stderr.

    Raises:
        UsageError: `large` without a large branch, or a feature set of another encoder is there.
        DataError: a segment names no video, or a row is malformed.
        SourceError: a video cannot be read.
    """
    rows, paths = _find(videos)
    base = open_base(model)
    card = _card(base.card, videos.resolve().name)
    embedder = None
    if large:
        large_card, embedder = open_large(load_bundle(model, with_encoder=False))
        card = msgspec.structs.replace(card, large=large_card)
    card = _merge(out, card)
    left = {name: path for name, path in paths.items() if not _is_done(out, name, card)}
    with _progress(quiet) as progress:
        _encode(left, out, base.encoder, card.fps, progress)
        if embedder is not None:
            _embed(paths, rows, out, card, embedder, progress)
    _keep_encoder(out, card, base.tensors)
    write_index(out, card, rows)
    read_feature_set(out)
    return ExtractReport(out, len(left), len(paths) - len(left), len(rows))


def _progress(quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=quiet)


def _encode(
    paths: dict[str, Path], out: Path, encoder: FrameEncoder, fps: float, progress: Progress
) -> None:
    task = progress.add_task("encoding", total=float(len(paths)))
    for number, (name, path) in enumerate(paths.items()):
        progress.update(task, description=name)
        recording = encode_video(path, encoder, fps, _mover(progress, task, number))
        write_track(out, name, recording.vectors, recording.times)
        progress.update(task, completed=float(number + 1))


def _embed(
    paths: dict[str, Path],
    rows: list[SegmentRow],
    out: Path,
    card: DatasetCard,
    embedder: Embedder,
    progress: Progress,
) -> None:
    task = progress.add_task("large branch", total=float(len(paths)))
    for number, (name, path) in enumerate(paths.items()):
        own = [row for row in rows if row.recording == name]
        progress.update(task, description=f"{name}, large branch")
        if not _has_large(out, name, own, card):
            times = read_track(out, name, card).times
            moved = _mover(progress, task, number)
            write_large(out, name, own, embed_segments(path, own, embedder, times, card.fps, moved))
        progress.update(task, completed=float(number + 1))


def _mover(progress: Progress, task: TaskID, number: int) -> Callable[[float], None]:
    return lambda share: progress.update(task, completed=number + share)


def _keep_encoder(out: Path, card: DatasetCard, tensors: Tensors) -> None:
    """Copy a tower whose weights are only in its bundle, so that `train` can pass it on."""
    if card.encoder.weights == "bundle":
        write_bytes(out / ENCODER_FILE, safetensors.numpy.save(part(tensors, "encoder.")))


def _find(folder: Path) -> tuple[list[SegmentRow], dict[str, Path]]:
    """Find the segments, and the video of each of their recordings."""
    rows = [_named(row) for row in read_table(folder)]
    found = {p.stem: p for p in sorted(folder.iterdir()) if p.suffix.lower() in VIDEO_SUFFIXES}
    if is_published(folder):
        # HoloAssist's own tree; whoever took only some of its videos gets the segments of those.
        found |= {path.parts[-3]: path for path in sorted(folder.glob(HOLOASSIST_VIDEOS))}
        rows = [row for row in rows if row.recording in found]
        if not rows:
            raise DataError(
                f"{folder} holds no video of its annotation; put them there as <name>.mp4 or as "
                f"published ({HOLOASSIST_VIDEOS})"
            )
    wanted = sorted({row.recording for row in rows})
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DataError(
            f"{folder}: a segment names {missing[0]!r}, but there is no such video beside it"
        )
    return rows, {name: found[name] for name in wanted}


def _named(row: SegmentRow) -> SegmentRow:
    """Strip the video's suffix from recordings, whether a row names `a.mp4` or `a`."""
    path = Path(row.recording)
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        return row
    return msgspec.structs.replace(row, recording=path.stem)


def _card(bundle: BundleCard, name: str) -> DatasetCard:
    return DatasetCard(
        name=name,
        licence="yours",
        encoder=bundle.frame_encoder,
        fps=bundle.stream.fps,
        dim=bundle.frame_encoder.dim,
    )


def _merge(out: Path, card: DatasetCard) -> DatasetCard:
    """The card for this run: large vectors that an earlier run made stay in the set.

    Raises:
        UsageError: the folder holds vectors of another encoder.
    """
    if not (out / DATASET_FILE).is_file():
        return card
    old = read_feature_set(out).card
    pinned, known = old.encoder.weights_sha256, card.encoder.weights_sha256
    if pinned not in (None, known):
        raise UsageError(
            f"{out} holds vectors of weights with the hash {pinned}, but {card.encoder.weights!r} "
            f"of {card.encoder.architecture} now has {known}; choose another folder"
        )
    unpinned = msgspec.structs.replace(card.encoder, weights_sha256=pinned)
    if (old.encoder, old.fps) != (unpinned, card.fps):
        raise UsageError(
            f"{out} holds vectors of {old.encoder.architecture} at {old.fps} frames/s, or of "
            "another preprocessing; choose another folder"
        )
    if card.large is None:
        return msgspec.structs.replace(card, large=old.large)
    if old.large not in (None, card.large):
        raise UsageError(
            f"{out} holds vectors of another large encoder or setting; choose another folder"
        )
    return card


def _is_done(out: Path, name: str, card: DatasetCard) -> bool:
    if not (out / FEATURES_FOLDER / f"{name}.npz").is_file():
        return False
    try:
        read_track(out, name, card)
    except DataError:
        return False  # of another encoder or damaged: encode it again
    return True


def _has_large(out: Path, name: str, rows: list[SegmentRow], card: DatasetCard) -> bool:
    if card.large is None or not large_path(out, name).is_file():
        return False
    try:
        known = read_large(out, name, card.large)
    except DataError:
        return False
    return all((row.start, row.end) in known for row in rows)
