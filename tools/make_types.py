"""TypeScript types of every message, made from the JSON Schemas: `python -m tools.make_types`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from egomon.fusion.messages.json_schema import schemas

FILE = Path(__file__).parents[1] / "examples" / "egomon.d.ts"
_HEAD = """\
// Types of egomon's messages, schema 1. Made by `python -m tools.make_types`; do not edit.
// Later versions add fields and reasons: ignore what you do not know.

/** Data of each kind of message; the kind is the fourth level of its topic. */
export interface MessageData {
"""
_SCALARS = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean"}


def types() -> str:
    """Text of the file."""
    found = {name.removesuffix(".json"): msgspec.json.decode(s) for name, s in schemas().items()}
    titles = {kind: schema["$ref"].rpartition("/")[2] for kind, schema in found.items()}
    lines = [f"  {kind}: {title};" for kind, title in titles.items() if kind != "envelope"]
    structs: dict[str, Any] = {}
    for schema in found.values():
        structs |= schema["$defs"]
    # What the envelope holds is known once its topic is.
    structs["Envelope"]["properties"]["data"] = {"$ref": "#/$defs/Data"}
    bodies = [_interface(name, structs[name]) for name in sorted(structs)]
    return _HEAD + "\n".join(lines) + "\n}\n\n" + "\n".join(bodies)


def _interface(name: str, struct: dict[str, Any]) -> str:
    needed = struct.get("required", [])
    head = "Envelope<Data = MessageData[keyof MessageData]>" if name == "Envelope" else name
    lines = [f"/** {struct['description']} */"] if "description" in struct else []
    lines.append(f"export interface {head} {{")
    for field, schema in struct["properties"].items():
        if "description" in schema:
            lines.append(f"  /** {schema['description']} */")
        lines.append(f"  {field}{'' if field in needed else '?'}: {_type(schema)};")
    return "\n".join([*lines, "}", ""])


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " | ".join(_type(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(msgspec.json.encode(value).decode() for value in schema["enum"])
    kind = schema["type"]
    if kind == "null":
        return "null"
    if kind == "object":
        return f"Record<string, {_type(schema['additionalProperties'])}>"
    if kind == "array":
        each = schema.get("prefixItems")
        if each is not None:
            return f"[{', '.join(map(_type, each))}]"
        inner = _type(schema["items"])
        return f"({inner})[]" if "|" in inner else f"{inner}[]"
    return _SCALARS[kind]


if __name__ == "__main__":
    FILE.write_text(types(), encoding="utf-8")
