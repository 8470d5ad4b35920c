"""stdout: its reader may close the pipe, as in `head -1`, and lines may hold words of others."""

from __future__ import annotations

import errno
import io
import os
from typing import NoReturn, Self

import click

from egomon.errors import UsageError
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
            UsageError: the disk behind it is full, or refuses for another reason.
            OSError: its terminal was closed.
        """
        if text == "":  # click tries a stream by it, and hides what it raises
            return 0
        try:
            return super().write(text)
        except OSError as error:
            self._leave(error)

    def flush(self) -> None:
        """Flush, see `write`."""
        try:
            super().flush()
        except OSError as error:
            self._leave(error)

    def _leave(self, error: OSError) -> NoReturn:
        if error.errno == errno.EIO:
            raise error
        # What is still buffered must go somewhere, or Python complains about it when it ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        if isinstance(error, BrokenPipeError):
            raise SystemExit(READER_GONE) from None
        raise UsageError(
            f"cannot write to stdout: {error.strerror}; free its disk or write elsewhere"
        ) from error


def say(text: str, *, err: bool = False) -> None:
    """Print a text that may hold words of others, to stdout or stderr."""
    click.echo(printable(text), err=err)
