"""stdout: its reader may close the pipe, as in `head -1`, and lines may hold words of others."""

from __future__ import annotations

import io
import os
from typing import NoReturn, Self

import typer

from egomon.text import printable

READER_GONE = 141
"""Exit code that a shell reports for a program ended by a closed pipe (128 + SIGPIPE)."""


class PipedText(io.TextIOWrapper):
    """Ends the command without a message once the pipe is closed; runs close as after Ctrl-C.

    It raises SystemExit, not `BrokenPipeError`: click and rich catch that one and exit with 1.
    """

    @classmethod
    def over(cls, stream: io.TextIOWrapper) -> Self:
        """Wrap a stream, which stays usable."""
        return cls(
            stream.buffer,
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )

    def write(self, text: str) -> int:
        """Write.

        Raises:
            SystemExit: the reader has gone.
        """
        try:
            return super().write(text)
        except BrokenPipeError:
            self._leave()

    def flush(self) -> None:
        """Flush, see `write`."""
        try:
            super().flush()
        except BrokenPipeError:
            self._leave()

    def _leave(self) -> NoReturn:
        # What is still buffered must go somewhere, or Python complains about it when it ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        raise SystemExit(READER_GONE)


def say(text: str, *, err: bool = False) -> None:
    """Print a text that may hold words of others, to stdout or stderr."""
    typer.echo(printable(text), err=err)
