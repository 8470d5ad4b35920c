"""A message as bytes: topic, envelope, data. Imports neither torch nor zmq.

A message is `[topic, envelope JSON, attachment 0, ...]`, the topic
`egomon/1/<source>/<kind>/`. JSON only, nothing is unpickled.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, cast

import msgspec

from egomon.errors import WireError
from egomon.fusion.messages.types import DATA_TYPES, Data, MessageKind
from egomon.units import NS_PER_SECOND

# It stands in every topic: readers of another version hear nothing rather than nonsense.
MAJOR = 1
TOPIC_ROOT = f"egomon/{MAJOR}"
SOURCE_NAME = "[a-z0-9_-]{1,32}"
"""Regular expression of a source name, one level of a topic."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """CloudEvents 1.0 attributes with the extensions boot, seq and tseq."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    """`<boot>-<seq>`."""
    source: str
    """`egomon://<host>/<source name>`."""
    type: str
    """`egomon.<kind>` or `egomon.alert.<phase>`."""
    time: str
    """ISO 8601 UTC of publication."""
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str
    """`egomon/<kind>/1`."""
    boot: str
    """Changes when the publisher restarts."""
    seq: int
    """One more with each message of this boot."""
    tseq: int
    """One more with each message of this topic and boot."""
    data: msgspec.Raw


def topic(source: str, kind: MessageKind) -> str:
    """Topic of a message; each level ends in a slash, so `cam1` never matches `cam10`.

    >>> topic("cam0", "alert")
    'egomon/1/cam0/alert/'
    """
    return f"{TOPIC_ROOT}/{source}/{kind}/"


def kind_of(data: Data) -> MessageKind:
    """Which kind of message this is."""
    for name, data_type in DATA_TYPES.items():
        if isinstance(data, data_type):
            return cast(MessageKind, name)
    raise WireError(f"{type(data).__name__} is not a wire type")


def encode(message: msgspec.Struct) -> bytes:
    """JSON bytes, fields in declaration order: equal messages give equal bytes."""
    return msgspec.json.encode(message)


def decode_envelope(body: bytes) -> Envelope:
    """Strictly typed envelope.

    Raises:
        WireError: not JSON, or a field is missing or of another type.
    """
    try:
        return msgspec.json.decode(body, type=Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"not an egomon envelope: {error}") from error


def decode_data(kind: str, body: bytes | msgspec.Raw) -> Data:
    """The typed data of an envelope.

    Raises:
        WireError: unknown kind, or the data do not follow its schema.
    """
    data_type = DATA_TYPES.get(kind)
    if data_type is None:
        raise WireError(f"unknown message kind {kind!r}; known: {', '.join(DATA_TYPES)}")
    try:
        return cast(Data, msgspec.json.decode(body, type=data_type))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"not a valid {kind} message: {error}") from error


def isoformat(wall_ns: int) -> str:
    """UTC to the millisecond.

    >>> isoformat(1_700_000_000_123_456_789)
    '2023-11-14T22:13:20.123Z'
    """
    moment = datetime.fromtimestamp(wall_ns // NS_PER_SECOND, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{wall_ns // 1_000_000 % 1000:03d}Z"
