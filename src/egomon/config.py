"""Settings from flags, environment (`EGOMON_*`), a TOML file and defaults, in that order."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from egomon.config_convert import convert
from egomon.config_sections import (
    BusSettings,
    DecisionSettings,
    EvidenceSettings,
    LargeSettings,
    MetricsSettings,
    ModelSettings,
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
        ConfigError: not TOML, or TOML of a depth or with numbers that Python refuses.
    """
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError, OSError) as error:
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
    where = f" (in {found})" if found is not None else ""
    convert(tables, Settings, where)  # the file alone first: its errors name the file
    merged = {section: dict(values) for section, values in (profile or {}).items()}
    for layer in (tables, _environment()):
        for section, values in layer.items():
            merged.setdefault(section, {}).update(values)
    for section, values in (flags or {}).items():
        given = {key: value for key, value in values.items() if value is not None}
        merged.setdefault(section, {}).update(given)
    return convert(merged, Settings, where)


def plain(settings: Settings) -> dict[str, dict[str, Any]]:
    """Tables of numbers, texts and lists; paths are texts."""
    tables: dict[str, dict[str, Any]] = msgspec.to_builtins(settings, enc_hook=str)
    return tables


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
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(text)
    return text
