"""stdout whose reader may go away, as in `egomon config show | head -1`."""

from __future__ import annotations

import io
import os
from typing import NoReturn, Self

READER_GONE = 141
"""Exit code: what a shell reports for a program that a closed pipe ended."""


class PipedText(io.TextIOWrapper):
    """Ends the command quietly once nobody reads any more; runs are closed as after Ctrl-C.

    Not by the `BrokenPipeError` itself: click and rich both catch that one and exit with 1.
    """

    @classmethod
    def over(cls, stream: io.TextIOWrapper) -> Self:
        """The same stream; the given one stays usable."""
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
