"""The settings file as text, and the origin of each value."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from egomon.config import Settings, config_path, read_config


def commented_toml() -> str:
    """List every setting, commented out, with its default and description."""
    lines = [
        "# Settings of egomon. Flags beat environment variables (EGOMON_SECTION__KEY), which beat",
        "# this file. Remove the # in front of a line to change it.",
    ]
    for section, field in Settings.model_fields.items():
        model = field.annotation
        assert model is not None
        lines += ["", f"# {' '.join((model.__doc__ or '').split())}", f"[{section}]"]
        for key, setting in model.model_fields.items():
            if setting.description:
                lines.append(f"# {setting.description}")
            default = getattr(field.default, key)
            lines.append(f"# {key} = {_toml(default)}")
    return "\n".join(lines) + "\n"


def resolved_rows(settings: Settings, explicit: Path | None) -> Iterator[tuple[str, str, str]]:
    """List key, value and origin (default, file, environment) of every setting."""
    path = config_path(explicit)
    tables = read_config(path)
    for section, values in settings.model_dump(mode="json").items():
        for key, value in values.items():
            if f"EGOMON_{section}__{key}".upper() in {name.upper() for name in os.environ}:
                origin = "environment"
            elif key in tables.get(section, {}):
                origin = str(path)
            else:
                origin = "default"
            yield f"{section}.{key}", "(not set)" if value is None else _toml(value), origin


def _toml(value: Any) -> str:
    if value is None:
        return '"" # not set'
    if isinstance(value, Path):
        return json.dumps(str(value))
    return json.dumps(list(value) if isinstance(value, tuple) else value)
