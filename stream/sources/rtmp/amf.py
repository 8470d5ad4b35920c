"""AMF0, the values in RTMP's commands (Adobe, Action Message Format 0)."""

from __future__ import annotations

import struct
from typing import Any

# Encoders nest two deep; a hostile message would exhaust Python's stack.
MOST_DEPTH = 8
_OBJECT_END = b"\x00\x00\x09"


class AmfError(ValueError):
    """The bytes are no AMF0."""


def encode(*values: Any) -> bytes:
    """Numbers, texts, flags, None and dictionaries, one after another."""
    return b"".join(map(_encode, values))


def _encode(value: Any) -> bytes:
    match value:
        case None:
            return b"\x05"
        case bool():
            return b"\x01" + bytes([value])
        case int() | float():
            return b"\x00" + struct.pack(">d", value)
        case str():
            return b"\x02" + _text(value)
        case dict():
            fields = b"".join(_text(key) + _encode(each) for key, each in value.items())
            return b"\x03" + fields + _OBJECT_END
    raise TypeError(f"{type(value).__name__} is not written")


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">H", len(data)) + data


def decode(data: bytes) -> list[Any]:
    """All values.

    Raises:
        AmfError: the bytes end too early, or hold an unknown kind.
    """
    reader, values = _Reader(data), []
    try:
        while reader.at < len(data):
            values.append(reader.value(0))
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise AmfError(str(error)) from None
    return values


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def value(self, depth: int) -> Any:
        kind = self._bytes(1)[0]
        if depth > MOST_DEPTH:
            raise AmfError("nested too deep")
        match kind:
            case 0x00:
                return struct.unpack(">d", self._bytes(8))[0]
            case 0x01:
                return bool(self._bytes(1)[0])
            case 0x02:
                return self._string(2)
            case 0x03:
                return self._fields(depth)
            case 0x05 | 0x06:
                return None
            case 0x08:
                self._bytes(4)
                return self._fields(depth)
            case 0x0A:
                (count,) = struct.unpack(">I", self._bytes(4))
                return [self.value(depth + 1) for _ in range(min(count, len(self._data)))]
            case 0x0B:
                return struct.unpack(">d", self._bytes(10)[:8])[0]
            case 0x0C:
                return self._string(4)
        raise AmfError(f"kind {kind} is not known")

    def _fields(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self._data[self.at : self.at + 3] != _OBJECT_END:
            key = self._string(2)
            found[key] = self.value(depth + 1)
        self.at += 3
        return found

    def _string(self, width: int) -> str:
        length = int.from_bytes(self._bytes(width), "big")
        return self._bytes(length).decode("utf-8", "replace")

    def _bytes(self, count: int) -> bytes:
        found = self._data[self.at : self.at + count]
        if len(found) < count:
            raise AmfError("ends too early")
        self.at += count
        return found
