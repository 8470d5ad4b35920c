"""Settings from flags, environment (`EGOMON_*`), a TOML file and defaults, in that order."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import stat
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from egomon.config_sections import (
    BusSettings,
    DecisionSettings,
    EvidenceSettings,
    LargeSettings,
    MetricsSettings,
    ModelSettings,
    Section,
    SegmentSettings,
    SinkSettings,
    SourceSettings,
    StoreSettings,
    ViewSettings,
)
from egomon.errors import ConfigError

FILE_NAME = "egomon.toml"
PREFIX = "EGOMON_"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that `egomon live` and `egomon replay` can be told."""

    model: ModelSettings = ModelSettings()
    large: LargeSettings = LargeSettings()
    source: SourceSettings = SourceSettings()
    segments: SegmentSettings = SegmentSettings()
    decision: DecisionSettings = DecisionSettings()
    bus: BusSettings = BusSettings()
    store: StoreSettings = StoreSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    sinks: SinkSettings = SinkSettings()
    metrics: MetricsSettings = MetricsSettings()
    view: ViewSettings = ViewSettings()


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

# The user whose files everybody may trust.
_ROOT = 0


def config_path(explicit: Path | None) -> Path | None:
    """The file in use: the given one, else `egomon.toml` here, else the user's, else none."""
    if explicit is not None:
        if not os.path.isfile(explicit):
            raise ConfigError(f"configuration file {explicit} not found; check its name and rights")
        return explicit
    import platformdirs

    for folder in (Path(), Path(platformdirs.user_config_dir("egomon"))):
        if os.path.isfile(folder / FILE_NAME):  # false where the folder may not be looked into
            _check_owner(folder / FILE_NAME)
            return folder / FILE_NAME
    return None


def _check_owner(path: Path) -> None:
    """A file that was found, not given, must be the user's own: it may open ports and run sinks."""
    found = path.stat()
    if found.st_uid not in (os.geteuid(), _ROOT) or found.st_mode & stat.S_IWOTH:
        raise ConfigError(
            f"{path.absolute()} belongs to another user or may be changed by everybody, so it is "
            f"not obeyed; give it with --config if you trust it, or chmod o-w it"
        )


def read_config(path: Path | None) -> dict[str, Any]:
    """Tables of a TOML file.

    Raises:
        ConfigError: not TOML.
    """
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error


def load_settings(
    path: Path | None = None,
    flags: Mapping[str, Mapping[str, Any]] | None = None,
    profile: Mapping[str, Mapping[str, Any]] | None = None,
) -> Settings:
    """Merge defaults < profile < file < environment < flags; flags that are None were not given.

    Raises:
        ConfigError: unknown key (with the nearest known one) or a value out of range.
    """
    found = config_path(path)
    tables = read_config(found)
    _convert(tables, found)  # the file alone first: its errors name the file
    merged = {section: dict(values) for section, values in (profile or {}).items()}
    for layer in (tables, _environment()):
        for section, values in layer.items():
            merged.setdefault(section, {}).update(values)
    for section, values in (flags or {}).items():
        given = {key: value for key, value in values.items() if value is not None}
        merged.setdefault(section, {}).update(given)
    return _convert(merged, found)


def plain(settings: Settings) -> dict[str, dict[str, Any]]:
    """Tables of numbers, texts and lists; paths are texts."""
    tables: dict[str, dict[str, Any]] = msgspec.to_builtins(settings, enc_hook=str)
    return tables


def _convert(tables: Mapping[str, Any], path: Path | None) -> Settings:
    """Check tables and build settings; texts, as the environment has them, may be numbers.

    Raises:
        ConfigError: an unknown key, or a value out of range.
    """
    where = f" (in {path})" if path is not None else ""
    _check_names(tables, where)
    try:
        return msgspec.convert(tables, Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise ConfigError(f"setting {_explain(error, tables)}{where}") from error


def _path(kind: type, value: object) -> Path:
    """The one type that msgspec does not know."""
    if not isinstance(value, str | Path):
        raise ValueError("Expected `path`")
    return Path(value)


def _sections() -> dict[str, type[Section]]:
    return {field.name: field.type for field in msgspec.structs.fields(Settings)}


def _check_names(tables: Mapping[str, Any], where: str) -> None:
    """Refuse sections and keys that are not known, with the nearest known one."""
    keys = {f"{name}.{key}" for name, kind in _sections().items() for key in kind.__struct_fields__}
    given = [
        f"{name}.{key}"
        for name, values in tables.items()
        if name in _sections() and isinstance(values, Mapping)
        for key in values
    ]
    for place in (*(name for name in tables if name not in _sections()), *given):
        if place not in keys:
            near = difflib.get_close_matches(place, [*_sections(), *sorted(keys)], n=1)
            known = ", ".join(_sections())
            hint = f"; did you mean {near[0]}?" if near else f"; sections: {known}"
            raise ConfigError(f"unknown setting {place}{where}{hint}")


def _explain(error: msgspec.ValidationError, tables: Mapping[str, Any]) -> str:
    """Say which value is wrong, what is expected there, and what it is.

    msgspec says `Expected WHAT, got TYPE - at PLACE`, where a place is `$.section.key[...]`.
    """
    what, _, place = str(error).removesuffix("`").partition(" - at `$.")
    section, _, inside = place.partition(".")
    key = inside.partition("[")[0]
    value = tables[section][key] if key else tables[section]
    wanted = what.removeprefix("Expected ").partition(", got ")[0]
    if what.startswith("Invalid enum value"):
        kinds = {field.name: field.type for field in msgspec.structs.fields(_sections()[section])}
        *others, last = _choices(kinds[key])
        wanted = f"{', '.join(others)} or {last}"
    for kind, word in _WORDS.items():
        wanted = wanted.replace(f"`{kind} | null`", word).replace(f"`{kind}`", word)
    return f"{place}: expected {wanted}, got {value!r}"


def _choices(kind: Any) -> tuple[str, ...]:
    """Values of the `Literal` in a type."""
    inside = typing.get_args(kind)
    if typing.get_origin(kind) is typing.Literal:
        return inside
    return next(filter(None, map(_choices, inside)), ())


def _environment() -> dict[str, dict[str, Any]]:
    """Values of `EGOMON_SECTION__KEY`, in any case, by section and key."""
    found: dict[str, dict[str, Any]] = {}
    for name, text in os.environ.items():
        section, _, key = name.upper().removeprefix(PREFIX).lower().partition("__")
        if key and name.upper().startswith(PREFIX) and section in Settings.__struct_fields__:
            found.setdefault(section, {})[key] = _value(text)
    return found


def _value(text: str) -> Any:
    """A list or a table that is written as JSON; any other text as it is."""
    if text.startswith(("[", "{")):
        with contextlib.suppress(ValueError):
            return json.loads(text)
    return text
