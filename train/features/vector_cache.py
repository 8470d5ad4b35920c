"""Frame vectors of videos that were encoded before, by content of the file and of the encoder.

An entry is one `.npz` without pickled objects, named after a hash of the file's bytes, the
encoder's weights and card, and the sampling rate: another file under the same name, or another
encoder, has another entry. What cannot be read is dropped and made again. Least recently used
entries go when all together pass the bound.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import platformdirs

from egomon.branches.interfaces import FrameEncoder
from egomon.errors import UsageError
from egomon.train.features.recording import RecordingVectors
from egomon.train.features.recording_file import pack, unpack

log = logging.getLogger(__name__)

VERSION = 1
"""Part of the key: entries of another form are never read."""
MOST_BYTES = 2 << 30
"""About 27 hours of lite0 vectors at 4 per second."""
# A video of gigabytes is hashed without being held.
READ_BYTES = 1 << 20
SUFFIX = ".npz"


@dataclass(frozen=True, slots=True)
class CacheSize:
    """Content of a cache."""

    entries: int
    nbytes: int


class VectorCache:
    """A folder of entries.

    Args:
        folder: made on the first write; None = `vectors` in the user's cache folder.
        most_bytes: bound on the sum of all entries.
    """

    def __init__(self, folder: Path | None = None, most_bytes: int = MOST_BYTES) -> None:
        self.folder = folder or Path(platformdirs.user_cache_dir("egomon")) / "vectors"
        self.most_bytes = most_bytes

    def read(self, key: str, name: str) -> RecordingVectors | None:
        """The entry, with the name that the video has now; None where there is none to use."""
        path = self._path(key)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                found = unpack(arrays, name)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
            log.warning("cached vectors %s are damaged (%s); they are made again", path, error)
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # used just now: it goes last
        return found

    def write(self, key: str, recording: RecordingVectors) -> None:
        """Keep an entry; a full or read-only disk costs the entry and nothing else."""
        path = self._path(key)
        scratch = path.with_suffix(f".{os.getpid()}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with scratch.open("wb") as file:
                np.savez(file, allow_pickle=False, **pack(recording))
            os.replace(scratch, path)
            self._shrink(keep=path)
        except OSError as error:
            log.warning("vectors of %s are not kept: %s", recording.name, error.strerror)
            with contextlib.suppress(OSError):
                scratch.unlink()

    def size(self) -> CacheSize:
        """Number of entries and their bytes."""
        sizes = [size for _, size, _ in self._entries()]
        return CacheSize(len(sizes), sum(sizes))

    def clear(self) -> CacheSize:
        """Delete all entries; gives what there was.

        Raises:
            UsageError: an entry cannot be deleted.
        """
        found = self.size()
        try:
            for path in [*self.folder.glob(f"*{SUFFIX}"), *self.folder.glob("*.part")]:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(f"{error.filename} cannot be deleted: {error.strerror}") from error
        return found

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{SUFFIX}"

    def _entries(self) -> list[tuple[float, int, Path]]:
        """(last use, bytes, path), the oldest first."""
        found = []
        for path in self.folder.glob(f"*{SUFFIX}"):
            with contextlib.suppress(OSError):  # another process may have deleted it
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        return sorted(found)

    def _shrink(self, keep: Path) -> None:
        entries = self._entries()
        total = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if total <= self.most_bytes:
                break
            if path != keep:
                path.unlink(missing_ok=True)
                total -= size


def vector_key(path: Path, encoder: FrameEncoder, fps: float) -> str | None:
    """Name of a video's entry; None for an encoder that does not say what it is.

    Raises:
        OSError: the file cannot be read.
    """
    weights, card = getattr(encoder, "weights_sha256", None), getattr(encoder, "card", None)
    if weights is None or card is None:
        return None
    # Where the weights lie does not matter, and what they are called neither.
    plain = msgspec.structs.replace(card, weights=None, weights_sha256=weights)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
    backend = getattr(encoder, "backend", "")
    about = msgspec.json.encode((VERSION, digest.hexdigest(), plain, backend, fps))
    return hashlib.sha256(about).hexdigest()[:40]
