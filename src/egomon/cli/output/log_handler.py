"""The log of a run: a terminal or a disk that stands still holds up no thread that logs."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TextIO

from egomon.stream.channel import Channel, ChannelClosed
from egomon.stream.worker import Worker

CAPACITY = 1024
"""Lines that may wait; then the oldest are left out, and their number is told."""
CLOSE_SECONDS = 1.0


class ThreadedHandler(logging.StreamHandler[TextIO]):
    """A `StreamHandler` that writes in a thread of its own.

    Args:
        handler: whose stream, format and filters it takes over.
    """

    def __init__(self, handler: logging.StreamHandler[TextIO]) -> None:
        super().__init__(handler.stream)
        self.setLevel(handler.level)
        self.setFormatter(handler.formatter)
        self.filters = handler.filters
        self._lines: Channel[str] = Channel(CAPACITY, on_full="drop_oldest")
        self._told = 0
        self._worker = Worker("log", self._run)
        self._worker.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one line; never waits."""
        with contextlib.suppress(ChannelClosed):
            self._lines.put(self.format(record) + self.terminator)

    def close(self) -> None:
        """Write what waits, for at most a second; idempotent."""
        self._lines.close()
        self._worker.join(CLOSE_SECONDS)
        super().close()

    def flush(self) -> None:
        """Nothing: each line is flushed by the thread, which may stand still."""

    def _run(self, worker: Worker) -> None:
        while True:
            try:
                line = self._lines.get()
            except ChannelClosed:
                return
            dropped = self._lines.dropped - self._told
            if dropped:
                self._told += dropped
                line = f"WARNING {dropped} lines of the log were left out here\n{line or ''}"
            if line:
                with contextlib.suppress(OSError, ValueError):  # a full disk, a closed stream
                    self.stream.write(line)
                    self.stream.flush()


@contextlib.contextmanager
def threaded_log() -> Iterator[None]:
    """Let the root logger's handlers write in threads of their own, until the end."""
    root = logging.getLogger()
    before = [each for each in root.handlers if type(each) is logging.StreamHandler]
    after = [ThreadedHandler(each) for each in before]
    try:
        for old, new in zip(before, after, strict=True):
            root.removeHandler(old)
            root.addHandler(new)
        yield
    finally:
        for old, new in zip(before, after, strict=True):
            root.removeHandler(new)
            new.close()
            root.addHandler(old)
