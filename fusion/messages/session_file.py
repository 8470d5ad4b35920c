"""A recorded session: what a monitor said, one message a line, as JSON.

A line is the envelope exactly as on the wire, the data inside it. Where a message carried
pictures, the line has one more member, `attachments`, a list of base64 texts in their order; a
reader of envelopes ignores it. The topic follows from `source` and `dataschema`. So
`egomon listen --format jsonl` writes recorded sessions too, without the pictures.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec

from egomon.errors import DataError, WireError
from egomon.fusion.messages.envelope import Envelope, decode_data, encode, topic
from egomon.fusion.messages.message import Message


class _Line(Envelope, frozen=True, kw_only=True):
    attachments: tuple[bytes, ...] = ()


def encode_line(message: Message) -> bytes:
    """One message as a line, with its newline."""
    line = encode(message.envelope)
    if message.attachments:
        line = line[:-1] + b',"attachments":' + msgspec.json.encode(message.attachments) + b"}"
    return line + b"\n"


def decode_line(line: bytes) -> Message:
    """The message of a line.

    Raises:
        WireError: it is no envelope, or its data do not follow their schema.
    """
    try:
        found = msgspec.json.decode(line, type=_Line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"not an egomon envelope: {error}") from error
    kind = found.dataschema.split("/")[1:2] or [""]
    data = decode_data(kind[0], found.data)
    fields = {name: getattr(found, name) for name in Envelope.__struct_fields__}
    name = topic(found.source.rpartition("/")[2], kind[0])  # type: ignore[arg-type]
    return Message(name, Envelope(**fields), data, found.attachments)


def read_session(path: Path) -> Iterator[Message]:
    """The messages of a file, in its order; a last line that was cut off is left out.

    Raises:
        DataError: it cannot be read, or a line is no message; names file and line.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                try:
                    yield decode_line(line)
                except WireError as error:
                    raise DataError(
                        f"{path}, line {number}: {error}; give a file of `--sink file:PATH`"
                    ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); give a file") from error


class SessionWriter:
    """Appends messages to a file, each flushed at once.

    Args:
        path: of the file; one that is there is continued.
        max_bytes: before the file grows beyond this, it becomes `PATH.1`, that one `PATH.2`, and
            so on; None = it only grows.
        keep: so many older files are kept.

    Raises:
        OSError: the file cannot be opened, written or renamed.
    """

    def __init__(self, path: Path, *, max_bytes: int | None = None, keep: int = 0) -> None:
        self._path, self._max_bytes, self._keep = path, max_bytes, keep
        self._file = path.open("ab")
        self._size = self._file.tell()
        if self._size and not _ends_a_line(path):  # cut off when a run was killed
            self._write(b"\n")

    def write(self, message: Message) -> None:
        """Add one message."""
        line = encode_line(message)
        if self._max_bytes is not None and 0 < self._size > self._max_bytes - len(line):
            self._rotate()
        self._write(line)

    def close(self) -> None:
        """Close the file; idempotent."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _write(self, line: bytes) -> None:
        self._file.write(line)
        self._file.flush()
        self._size += len(line)

    def _rotate(self) -> None:
        self._file.close()
        for number in range(self._keep, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                os.replace(older, self._numbered(number))
        self._file = self._path.open("wb")
        self._size = 0

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"
