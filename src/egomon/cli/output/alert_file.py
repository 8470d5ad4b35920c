"""The file of `--out`: each alert revision as one line of JSON."""

from __future__ import annotations

import logging
from io import FileIO
from pathlib import Path

from egomon.errors import UsageError
from egomon.fusion.messages.envelope import encode
from egomon.fusion.messages.types import AlertData, Data
from egomon.stream.channel import Channel, ChannelClosed
from egomon.stream.worker import Worker

logger = logging.getLogger(__name__)

CAPACITY = 4096
"""Lines that may wait, some megabytes; a live run then loses the oldest of them."""
RETRY_SECONDS = 1.0
CLOSE_SECONDS = 5.0
"""A live run waits so long at its end for a disk that stands still."""


class AlertFile:
    """Writes alerts in a thread of its own, each at once and whole.

    A live run never waits for the file: a disk that refuses a line is asked again each second. A
    replay waits for room, and its first error ends the writing.

    Args:
        path: replaced if it exists.
        live: see above.

    Raises:
        UsageError: the file cannot be opened.
    """

    def __init__(self, path: Path, *, live: bool) -> None:
        try:
            self._file: FileIO = path.open("wb", buffering=0)
        except OSError as error:
            raise UsageError(f"cannot write alerts to {path}: {error.strerror}") from error
        self._path, self._live = path, live
        self._lines: Channel[bytes] = Channel(CAPACITY, on_full="drop_oldest" if live else "wait")
        self._fault: str | None = None
        self._given = self._written = 0
        self._worker = Worker("out", self._run)
        self._worker.start()

    @property
    def missing(self) -> int:
        """Lines that are not in the file, or not yet."""
        return self._given - self._written

    def __call__(self, source: str, data: Data) -> None:
        """An `EventListener`."""
        if isinstance(data, AlertData):
            self._given += 1
            try:
                self._lines.put(encode(data) + b"\n")
            except ChannelClosed:  # after an error of a replay, which is told at its end
                return

    def close(self) -> None:
        """Write what waits; a live run waits for a disk that stands still for 5 s at most."""
        self._lines.close()
        while not self._worker.join(CLOSE_SECONDS) and not self._live:
            pass
        if self._live and self.missing:
            reason = self._fault or "its disk does not answer"
            logger.error("alerts missing in %s: %d; %s", self._path, self.missing, reason)

    def check(self) -> None:
        """Refuse to call a replay done whose alerts could not be written; after `close`.

        Raises:
            UsageError: the reason.
        """
        if not self._live and self._fault is not None:
            raise UsageError(f"cannot write alerts to {self._path}: {self._fault}")

    def _run(self, worker: Worker) -> None:
        with self._file:
            while True:
                try:
                    line = self._lines.get()
                except ChannelClosed:
                    return
                while line:
                    try:
                        line = line[self._file.write(line) :]
                    except OSError as error:
                        self._failed(error)
                        if not self._live or self._lines.closed:
                            self._lines.close()
                            return
                        worker.wait(RETRY_SECONDS)
                    else:
                        self._works()
                self._written += line is not None

    def _failed(self, error: OSError) -> None:
        if self._fault is None and self._live:
            logger.error("no alerts to %s: %s; the run goes on", self._path, error.strerror)
        self._fault = error.strerror

    def _works(self) -> None:
        if self._fault is not None:
            logger.warning("alerts are written to %s again", self._path)
        self._fault = None
