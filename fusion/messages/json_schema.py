"""JSON Schema of every message, made from the types.

Run `python -m egomon.fusion.messages.json_schema` to write the files again.

Fields that a schema does not name are allowed: a reader of version 1 reads what later 1.x send.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from egomon.fusion.messages.envelope import MAJOR, Envelope
from egomon.fusion.messages.types import DATA_TYPES

FOLDER = Path(__file__).parent / "schema"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, bytes]:
    """File name to content, for each kind of message and the envelope around them."""
    types: dict[str, type[msgspec.Struct]] = {"envelope": Envelope, **DATA_TYPES}
    return {f"{name}.json": _schema(name, each) for name, each in types.items()}


def main(folder: Path = FOLDER) -> None:
    """Write all files."""
    folder.mkdir(exist_ok=True)
    for name, body in schemas().items():
        (folder / name).write_bytes(body)


def _schema(name: str, kind: type[msgspec.Struct]) -> bytes:
    head = {"$schema": _DIALECT, "$id": f"urn:egomon:{name}:{MAJOR}"}
    body = msgspec.json.encode(head | _null_last(msgspec.json.schema(kind)))
    return msgspec.json.format(body, indent=2) + b"\n"


def _null_last(part: Any) -> Any:
    """The same schema from each version of msgspec: before 0.22 null comes first."""
    if isinstance(part, list):
        return [_null_last(each) for each in part]
    if not isinstance(part, dict):
        return part
    found = {key: _null_last(each) for key, each in part.items()}
    if "anyOf" in found:
        found["anyOf"].sort(key=lambda each: each.get("type") == "null")
    return found


if __name__ == "__main__":
    main()
