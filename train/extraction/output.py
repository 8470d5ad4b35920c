"""The folder that an extraction writes: what is done in it, what is begun, and its index."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from egomon.errors import DataError, UsageError
from egomon.train.extraction.find_videos import LabelledVideo
from egomon.train.extraction.partial import (
    PARTIAL_FOLDER,
    PartialVectors,
    partial_path,
    read_partial,
    write_partial,
)
from egomon.train.features.feature_set import (
    DATASET_FILE,
    FEATURES_FOLDER,
    DatasetCard,
    read_card,
    read_feature_set,
    read_track,
)
from egomon.train.features.large_vectors import large_path, read_large
from egomon.train.features.rows import SegmentRow
from egomon.train.features.write_feature_set import (
    write_card,
    write_index,
    write_large,
    write_track,
)


@dataclass(frozen=True, slots=True, eq=False)
class ExtractionFolder:
    """A feature set that is being made; several processes may write their shards into one.

    Each recording's files appear only when they are complete. `partial/` holds the card of a set
    that has no index yet, and the beginnings of recordings.
    """

    path: Path
    card: DatasetCard

    @classmethod
    def begin(cls, path: Path, card: DatasetCard) -> ExtractionFolder:
        """Open a new folder, or one that holds vectors of the same encoders.

        Raises:
            UsageError: it holds vectors of others.
            DataError: it cannot be read or written.
        """
        old = _old_card(path)
        card = card if old is None else _merge(path, old, card)
        if not (path / DATASET_FILE).is_file():
            write_card(path / PARTIAL_FOLDER / DATASET_FILE, card)
        return cls(path, card)

    def known(self, video: LabelledVideo, *, large: bool) -> PartialVectors:
        """What is known of a recording: whole, begun, or nothing.

        Args:
            video: the recording.
            large: whether large-branch vectors are looked for too.
        """
        begun = read_partial(partial_path(self.path, video.name), self.key(video), self.card.dim)
        begun = begun or PartialVectors.empty(self.card.dim)
        try:
            track = read_track(self.path, video.name, self.card)
        except DataError:
            return begun  # none, of another encoder, or damaged: encode it again
        vectors = begun.large
        if large and self.card.large is not None and large_path(self.path, video.name).is_file():
            with suppress(DataError):
                vectors = vectors | read_large(self.path, video.name, self.card.large)
        return PartialVectors(track.times, track.vectors, whole=True, large=vectors)

    def save(self, video: LabelledVideo, known: PartialVectors) -> None:
        """Keep the beginning of a recording.

        Raises:
            DataError: it cannot be written.
        """
        write_partial(partial_path(self.path, video.name), self.key(video), known)

    def finish(self, video: LabelledVideo, known: PartialVectors, *, large: bool) -> None:
        """Store a whole recording.

        Raises:
            DataError: it cannot be written.
        """
        if large:
            write_large(self.path, video.name, video.rows, known.large)
        write_track(self.path, video.name, known.vectors, known.times)
        with suppress(OSError):
            partial_path(self.path, video.name).unlink(missing_ok=True)

    def write_index(self, rows: Sequence[SegmentRow]) -> int:
        """Write the index of all recordings that are there; return the number of segments.

        Other shards may end at the same moment and write theirs: whoever is last has looked at
        the folder after everyone's files were there.

        Args:
            rows: segments of all recordings, of all shards.

        Raises:
            DataError: it cannot be written.
        """
        while True:
            there = {path.stem for path in (self.path / FEATURES_FOLDER).glob("*.npz")}
            present = [row for row in rows if row.recording in there]
            if not present:
                return 0
            write_index(self.path, self.card, present)
            if there == {path.stem for path in (self.path / FEATURES_FOLDER).glob("*.npz")}:
                break
        with suppress(OSError):  # another shard may be at work in it
            (self.path / PARTIAL_FOLDER / DATASET_FILE).unlink(missing_ok=True)
            (self.path / PARTIAL_FOLDER).rmdir()
        read_feature_set(self.path)
        return len(present)

    def key(self, video: LabelledVideo) -> str:
        """What the vectors of a recording depend on."""
        about = video.path.stat()
        card = (self.card.encoder, self.card.fps, self.card.large)
        text = msgspec.json.encode((about.st_size, about.st_mtime_ns, card))
        return hashlib.sha256(text).hexdigest()


def _old_card(folder: Path) -> DatasetCard | None:
    """The card of a set that is there, or was begun; None in a new folder."""
    for path in (folder / DATASET_FILE, folder / PARTIAL_FOLDER / DATASET_FILE):
        if path.is_file():
            return read_card(path)
    return None


def _merge(folder: Path, old: DatasetCard, card: DatasetCard) -> DatasetCard:
    """The card for this run: large vectors that an earlier run made stay in the set."""
    pinned, known = old.encoder.weights_sha256, card.encoder.weights_sha256
    if pinned not in (None, known):
        raise UsageError(
            f"{folder} holds vectors of weights with the hash {pinned}, but "
            f"{card.encoder.weights!r} of {card.encoder.architecture} now has {known}; choose "
            "another folder"
        )
    unpinned = msgspec.structs.replace(card.encoder, weights_sha256=pinned)
    if (old.encoder, old.fps) != (unpinned, card.fps):
        raise UsageError(
            f"{folder} holds vectors of {old.encoder.architecture} at {old.fps} frames/s, or of "
            "another preprocessing; choose another folder"
        )
    if card.large is None:
        return msgspec.structs.replace(card, large=old.large)
    unpinned_large = card.large
    if old.large is not None and old.large.weights_sha256 is None:
        unpinned_large = msgspec.structs.replace(card.large, weights_sha256=None)
    if old.large not in (None, unpinned_large):
        raise UsageError(
            f"{folder} holds vectors of another large encoder or setting; choose another folder"
        )
    return card
