"""Video that another program writes into a pipe: a named one, or the standard input."""

from __future__ import annotations

import os
import select
import threading

from egomon.errors import SourceLostError, SourceOpenError
from egomon.stream.frame import SourceInfo
from egomon.stream.source import Source
from egomon.stream.source_options import OpenContext, SourceOptions
from egomon.stream.sources.network.reconnecting import Reconnecting
from egomon.stream.sources.network.stream import PROBE, Stream, recording_of
from egomon.stream.sources.reference import STDIN, printable

# `close` from another thread is seen within it.
CHECK_MS = 100


def open_pipe(path: str, context: OpenContext) -> Source:
    """Read a pipe to its end: as a live source, or as a recording where `options.kind` says so.

    Raises:
        SourceOpenError: it may not be read, is a terminal, or nothing that is video comes.
    """
    kind = context.options.kind
    if kind != "file":
        info = SourceInfo(context.name, _shown(path), "live", 0, 0, None, None)
        return Reconnecting(
            info, lambda stop: PipeStream(path, context.options, stop), context, once=True
        )
    stream = PipeStream(path, context.options, context.stop)
    stream.open()
    return recording_of(_shown(path), stream, context)


class PipeStream(Stream):
    """The one connection that a pipe is."""

    def __init__(self, path: str, options: SourceOptions, stop: threading.Event) -> None:
        super().__init__(_shown(path), options, stop)
        self._path = path

    def _connect(self) -> None:
        self._owner = PipeBytes(self._path, self._released)
        if self._options.kind == "file":
            self.container = self._open({}, file=self._owner)
        else:
            self._live(self._open(PROBE, file=self._owner))


class PipeBytes:
    """A pipe as a file object that stops waiting when it is told to.

    Raises:
        SourceOpenError: it may not be read, or is a terminal.
    """

    def __init__(self, path: str, stop: threading.Event) -> None:
        self._stop = stop
        try:
            # Without blocking: a named pipe would wait here for its writer, without end.
            self._fd = os.dup(0) if path == STDIN else os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            text = f"{printable(path)} cannot be read: {error.strerror}"
            raise SourceOpenError(text, code="STREAM_NOT_FOUND") from None
        if os.isatty(self._fd):
            os.close(self._fd)
            text = "the standard input is a terminal; write PROGRAM | egomon ... to give it video"
            raise SourceOpenError(text, code="STREAM_NOT_FOUND")
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def read(self, nbytes: int) -> bytes:
        """At most so many bytes; none at the end.

        Raises:
            SourceLostError: it was closed meanwhile.
        """
        while not self._poll.poll(CHECK_MS):
            if self._stop.is_set():
                raise SourceLostError("the pipe was closed", code="STREAM_ENDED")
        return os.read(self._fd, nbytes)

    def close(self) -> None:
        """Stop reading."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _shown(path: str) -> str:
    return "standard input" if path == STDIN else printable(path)
