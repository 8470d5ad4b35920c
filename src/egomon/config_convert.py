"""Tables of settings to checked structs, and what is wrong with them in one sentence."""

from __future__ import annotations

import contextlib
import difflib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from egomon.errors import ConfigError

_Settings = TypeVar("_Settings", bound=msgspec.Struct)

_WORDS = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "object": "a table",
    "path": "a path",
    "str": "text",
}
"""What msgspec calls a type -> what a message calls it."""

_TRUE = frozenset({"true", "yes", "on", "t", "y", "1"})
_FALSE = frozenset({"false", "no", "off", "f", "n", "0"})


def convert(tables: Mapping[str, Any], kind: type[_Settings], where: str) -> _Settings:
    """Build settings from sections of keys and values; numbers and truth may be written as text.

    Args:
        tables: by section.
        kind: struct of sections, which are structs.
        where: appended to what is wrong.

    Raises:
        ConfigError: an unknown key, or a value out of range.
    """
    sections = {field.name: field.type for field in msgspec.structs.fields(kind)}
    _check_names(tables, sections, where)
    typed = {name: _typed(values, sections[name]) for name, values in tables.items()}
    try:
        return msgspec.convert(typed, kind, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise ConfigError(f"setting {_explain(error, typed, sections)}{where}") from error


def _path(kind: type, value: object) -> Path:
    """The one type that msgspec does not know."""
    if not isinstance(value, str | Path):
        raise ValueError("Expected `path`")
    return Path(value)


def _check_names(
    tables: Mapping[str, Any], sections: Mapping[str, type[msgspec.Struct]], where: str
) -> None:
    """Refuse sections and keys that are not known, with the nearest known one."""
    keys = {name: kind.__struct_fields__ for name, kind in sections.items()}
    unknown = [name for name in tables if name not in sections]
    for name, values in tables.items():
        if name in sections and isinstance(values, Mapping):
            unknown += [f"{name}.{key}" for key in values if key not in keys[name]]
    if unknown:
        known = [*sections, *(f"{name}.{key}" for name, each in keys.items() for key in each)]
        near = difflib.get_close_matches(unknown[0], known, n=1)
        # A table whose name has a dot looks like a key.
        near = [place for place in near if place != unknown[0]]
        hint = f"; did you mean {near[0]}?" if near else f"; sections: {', '.join(sections)}"
        raise ConfigError(f"unknown setting {unknown[0]}{where}{hint}")


def _typed(values: Any, section: type[msgspec.Struct]) -> Any:
    """Values of a section, those that are written as text as their keys want them."""
    if not isinstance(values, Mapping):
        return values
    kinds = {field.name: set(_flat(field.type)) for field in msgspec.structs.fields(section)}
    return {key: _value(value, kinds[key]) for key, value in values.items()}


def _value(value: Any, kinds: set[Any]) -> Any:
    """One value; what cannot be of any of the types stays as it is, and is refused later."""
    if hasattr(value, "item"):  # a number of NumPy
        return value.item()
    if not isinstance(value, str) or str in kinds:
        return value
    word = value.strip().lower()
    if bool in kinds and word in _TRUE | _FALSE:
        return word in _TRUE
    for number in (int, float):
        if number in kinds:
            with contextlib.suppress(ValueError):
                return number(word)
    return value


def _flat(kind: Any) -> Iterator[Any]:
    """The plain types in a type, and the values of a `Literal`."""
    inside = typing.get_args(kind)
    if typing.get_origin(kind) is typing.Annotated:
        inside = inside[:1]
    if not inside:
        yield kind
    for each in inside:
        yield from _flat(each)


def _explain(
    error: msgspec.ValidationError,
    tables: Mapping[str, Any],
    sections: Mapping[str, type[msgspec.Struct]],
) -> str:
    """Say which value is wrong, what is expected there, and what it is, without its neighbours.

    msgspec says `Expected WHAT, got TYPE - at PLACE`, where a place is `$.section`,
    `$.section.key`, or one of them with `[3]` in a list and `[...]` in a table.
    """
    what, _, place = str(error).removesuffix("`").partition(" - at `$.")
    section, _, inside = place.partition(".")
    key, _, index = inside.removesuffix("]").partition("[")
    value = tables[section][key] if key else tables[section]
    if index == "...":
        name, value = next(each for each in value.items() if not isinstance(each[1], str | Path))
        place = f"{section}.{key}.{name}"
    elif index:
        value = value[int(index)]
    wanted = what.removeprefix("Expected ").partition(", got ")[0].replace("\\\\", "\\")
    kinds = {field.name: field.type for field in msgspec.structs.fields(sections[section])}
    if key and (choices := [each for each in _flat(kinds[key]) if isinstance(each, str)]):
        wanted = f"{', '.join(choices[:-1])} or {choices[-1]}"
    for kind, word in _WORDS.items():
        wanted = wanted.replace(f"`{kind} | null`", word).replace(f"`{kind}`", word)
    return f"{place}: expected {wanted}, got {value!r}"
