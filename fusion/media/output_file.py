"""Files that FFmpeg writes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any, TypeVar

import av

from egomon.errors import StoreError

Made = TypeVar("Made")


class OutputFile(FileIO):
    """A file for `av.open` that no other thread waits for.

    Given a path, PyAV writes head and end of a file with Python's lock held, an mp4 with its index
    in front even as a whole: on a disk where a write takes 2 s no thread ran for 8 s. A Python file
    gives the lock up in each write.

    Used as a context manager, its end raises what a write has raised: PyAV keeps that to itself.

    Args:
        path: replaced if it exists.
    """

    def __init__(self, path: Path) -> None:
        # FFmpeg reads by this name what it has to move behind the index.
        super().__init__(str(path.absolute()), "wb")
        self._error: OSError | None = None

    def __exit__(self, *exc: object) -> None:
        self.close()
        if self._error is not None:
            raise self._error

    def write(self, data: Any) -> int:
        """Write all of it; FFmpeg would lose the rest of a write that was cut short."""
        left = memoryview(data)
        try:
            while left:
                left = left[super().write(left) :]
        except OSError as error:
            self._error = error
            raise
        return len(data)


def written_whole(path: Path, write: Callable[[OutputFile], Made]) -> Made:
    """Write a file beside its target, then rename it.

    Raises:
        StoreError: the folder is gone, the disk is full, or FFmpeg refuses.
    """
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with OutputFile(part) as file:
            made = write(file)
        os.replace(part, path)
    except (OSError, ValueError, av.FFmpegError) as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise StoreError(
            f"cannot write {path}: {error}; free the disk or give another evidence folder"
        ) from error
    return made
