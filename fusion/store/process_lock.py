"""Locks that show which monitors sharing a store are alive, so that none closes another's alerts.

Each boot locks one byte of a file beside the store. The kernel drops the lock when the process
ends, however it ends. These are open-file-description locks, so two stores in one process see
each other too; where the system has none, every other boot counts as dead.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from egomon.errors import StoreError

_SET = getattr(fcntl, "F_OFD_SETLK", None)
_GET = getattr(fcntl, "F_OFD_GETLK", None)
_FLOCK = "hhqqi4x"  # struct flock of 64-bit Linux: type, whence, start, length, pid


class RunningBoots:
    """Locks of one store file; without a file there is no other monitor.

    Args:
        path: the store's file.
    """

    def __init__(self, path: str | Path | None) -> None:
        usable = path is not None and _SET is not None and _GET is not None
        self._path = Path(f"{path}-alive") if usable else None
        self._file: int | None = None

    def claim(self, number: int) -> None:
        """Show that the boot of this row number is alive, until `close`.

        Raises:
            StoreError: the lock file cannot be opened.
        """
        file = self._open()
        if file is not None and _SET is not None:
            fcntl.fcntl(file, _SET, _lock(number))

    def among(self, boots: Iterable[tuple[int, str]]) -> set[str]:
        """Those of the `(row number, boot)` that another store, in any process, has claimed.

        Raises:
            StoreError: the lock file cannot be opened.
        """
        file = self._open()
        if file is None or _GET is None:
            return set()
        found = ((boot, fcntl.fcntl(file, _GET, _lock(number))) for number, boot in boots)
        return {boot for boot, lock in found if struct.unpack(_FLOCK, lock)[0] != fcntl.F_UNLCK}

    def close(self) -> None:
        """Release all; idempotent."""
        if self._file is not None:
            os.close(self._file)
        self._file = self._path = None

    def _open(self) -> int | None:
        if self._file is None and self._path is not None:
            try:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise StoreError(f"cannot open {self._path}: {error}; check its rights") from error
        return self._file


def _lock(number: int) -> bytes:
    return struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, number, 1, 0)
