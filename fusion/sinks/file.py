"""The sink `file:PATH`: a recorded session, one message a line, in files of bounded size."""

from __future__ import annotations

from pathlib import Path

from egomon.errors import ConfigError, UsageError
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.session_file import SessionWriter
from egomon.fusion.sinks.sink import SinkContext

# An editor still opens it.
MAX_BYTES = 64 << 20
KEPT_FILES = 5
"""Older files that stay beside the newest."""


class FileSink:
    """Appends each message to a file; see `egomon.fusion.messages.session_file` for the format.

    Raises:
        UsageError: the reference names no file.
    """

    def __init__(self, reference: str) -> None:
        path = reference.partition(":")[2]
        if not path:
            raise UsageError(f"--sink {reference!r} names no file; write file:PATH")
        self._path = Path(path)
        self._writer: SessionWriter | None = None

    def open(self, context: SinkContext) -> None:
        """See `Sink`.

        Raises:
            ConfigError: the file cannot be opened.
        """
        try:
            self._writer = SessionWriter(self._path, max_bytes=MAX_BYTES, keep=KEPT_FILES)
        except OSError as error:
            raise ConfigError(
                f"cannot write events to {self._path}: {error.strerror}; give another --sink"
            ) from error

    def send(self, message: Message) -> None:
        """See `Sink`."""
        assert self._writer is not None
        self._writer.write(message)

    def close(self) -> None:
        """See `Sink`."""
        if self._writer is not None:
            self._writer.close()
