"""Events from a file of JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from egomon.errors import DataError, WireError
from egomon.fusion.messages.envelope import decode_data, decode_envelope
from egomon.fusion.messages.types import AlertData, Data


def read_events(path: Path, *, source: str = "source") -> Iterator[tuple[str, Data]]:
    """Envelopes (`listen --format jsonl`), alerts (`--out`) or segments, one a line.

    Args:
        path: the file.
        source: name for lines that carry none.

    Raises:
        DataError: the file cannot be read, or a line is none of these; the message names it.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _event(path, number, line, source)
    except OSError as error:
        raise DataError(f"cannot read events from {path}: {error.strerror}") from error


def _event(path: Path, number: int, line: bytes, source: str) -> tuple[str, Data]:
    try:
        fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        if "specversion" in fields:
            envelope = decode_envelope(line)
            kind = envelope.type.split(".")[1]
            return envelope.source.rpartition("/")[2], decode_data(kind, envelope.data)
        data = decode_data("alert" if "alert_id" in fields else "segment", line)
    except (WireError, msgspec.DecodeError, UnicodeDecodeError, IndexError) as error:
        raise DataError(
            f"{path}, line {number}, is neither envelope, alert nor segment: {error}"
        ) from error
    return (data.source or source) if isinstance(data, AlertData) else source, data
