"""Reads the arrays of a feature set's files; errors name file and row."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from egomon.branches.interfaces import Float64
from egomon.errors import DataError


def read_arrays(path: Path, second: str = "times") -> tuple[NDArray[np.float16], Float64 | None]:
    """The array `features`, and the second one where the file has it.

    Raises:
        DataError: missing or damaged.
    """
    try:
        # Opened here: numpy leaves its own handle open when the archive is damaged.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return file["features"], file[second] if second in file.files else None
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{path} cannot be read as features ({error})") from error


def check_finite(path: Path, vectors: NDArray[np.float16]) -> None:
    """Refuse NaN and infinity.

    Raises:
        DataError: naming file and row.
    """
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise DataError(f"{path}: row {int(np.argmin(finite))} holds NaN or infinity")
