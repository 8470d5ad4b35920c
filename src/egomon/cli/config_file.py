"""The settings file as text, and the origin of each value."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from egomon.config import Settings, config_path, plain, read_config


def commented_toml() -> str:
    """List every setting, commented out, with its default and description."""
    lines = [
        "# Settings of egomon. Flags beat environment variables (EGOMON_SECTION__KEY), which beat",
        "# this file. Remove the # in front of a line to change it.",
    ]
    for section, default in msgspec.structs.asdict(Settings()).items():
        kind = type(default)
        lines += ["", f"# {' '.join((kind.__doc__ or '').split())}", f"[{section}]"]
        for setting in msgspec.structs.fields(kind):
            value = _toml(getattr(default, setting.name))
            lines += [f"# {_description(setting.type)}", f"# {setting.name} = {value}"]
    return "\n".join(lines) + "\n"


def resolved_rows(settings: Settings, explicit: Path | None) -> Iterator[tuple[str, str, str]]:
    """List key, value and origin (default, file, environment) of every setting."""
    path = config_path(explicit)
    tables = read_config(path)
    for section, values in plain(settings).items():
        for key, value in values.items():
            if f"EGOMON_{section}__{key}".upper() in {name.upper() for name in os.environ}:
                origin = "environment"
            elif key in tables.get(section, {}):
                origin = str(path)
            else:
                origin = "default"
            yield f"{section}.{key}", "(not set)" if value is None else _toml(value), origin


def _description(kind: Any) -> str:
    return str(next(meta.description for meta in kind.__metadata__ if meta.description))


def _toml(value: Any) -> str:
    if value is None:
        return '"" # not set'
    if isinstance(value, Path):
        return json.dumps(str(value))
    return json.dumps(list(value) if isinstance(value, tuple) else value)
