"""One picture of each step beside a taught bundle, for pages: `pictures/<step id>.jpg`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from egomon.errors import BundleError

PICTURES_FOLDER = "pictures"
_FILE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def write_step_pictures(folder: Path, pictures: Mapping[str, bytes]) -> None:
    """Write the JPEG of each step, by its id; a step whose id cannot name a file has none.

    Raises:
        BundleError: a file cannot be written.
    """
    try:
        (folder / PICTURES_FOLDER).mkdir(exist_ok=True)
        for step, jpeg in pictures.items():
            if _FILE_NAME.fullmatch(step):
                _file(folder, step).write_bytes(jpeg)
    except OSError as error:
        raise BundleError(f"cannot write pictures to {folder}: {error.strerror}") from error


def read_step_picture(folder: Path, step: str) -> bytes | None:
    """JPEG of a step; None where there is none, whatever text `step` is."""
    if not _FILE_NAME.fullmatch(step):
        return None
    try:
        return _file(folder, step).read_bytes()
    except OSError:
        return None


def _file(folder: Path, step: str) -> Path:
    return folder / PICTURES_FOLDER / f"{step}.jpg"
