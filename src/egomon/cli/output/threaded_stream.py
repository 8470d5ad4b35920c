"""stderr of a run: a terminal or a disk that stands still holds up no thread that writes to it."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from typing import Any, TextIO

from egomon.stream.channel import Channel, ChannelClosed
from egomon.stream.worker import Worker

CAPACITY = 1024
"""Lines that may wait; then the oldest are left out, and their number is told."""
CLOSE_SECONDS = 1.0


class ThreadedStream(io.TextIOBase):
    """Writes to another stream in a thread of its own; what that refuses is lost.

    Args:
        stream: stays open.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: Channel[str] = Channel(CAPACITY, on_full="drop_oldest")
        self._told = 0
        self._worker = Worker("stderr", self._run)
        self._worker.start()

    def write(self, text: str) -> int:
        """Queue one line; never waits."""
        with contextlib.suppress(ChannelClosed):
            self._lines.put(text)
        return len(text)

    def flush(self) -> None:
        """Nothing: the thread flushes each line, and may stand still."""

    def close(self) -> None:
        """Write what waits, for at most a second; idempotent."""
        self._lines.close()
        self._worker.join(CLOSE_SECONDS)
        super().close()

    def _run(self, worker: Worker) -> None:
        while True:
            try:
                line = self._lines.get() or ""
            except ChannelClosed:
                return
            dropped = self._lines.dropped - self._told
            if dropped:
                self._told += dropped
                line = f"egomon: {dropped} lines are left out here\n{line}"
            if line:
                with contextlib.suppress(OSError, ValueError):  # a full disk, a closed stream
                    self._stream.write(line)
                    self._stream.flush()


@contextlib.contextmanager
def threaded_log() -> Iterator[None]:
    """Let the root logger's handlers write in threads of their own, until the end."""
    handlers: list[logging.StreamHandler[Any]] = [
        each for each in logging.getLogger().handlers if type(each) is logging.StreamHandler
    ]
    before = [each.stream for each in handlers]
    try:
        for each in handlers:
            each.setStream(ThreadedStream(each.stream))
        yield
    finally:
        for each, stream in zip(handlers, before, strict=True):
            threaded = each.setStream(stream)
            if threaded is not None:
                threaded.close()
