"""Profiles: settings for a kind of machine, below the settings file."""

from __future__ import annotations

from typing import Any

from egomon.branches.bundle.card import BundleCard
from egomon.branches.onnx.bases import own_forms
from egomon.branches.onnx.forms import INT8, OnnxForms
from egomon.errors import UsageError

Tables = dict[str, dict[str, Any]]

SMALL: Tables = {
    "model": {"threads": 1, "most_fps": 2.0},
    "source": {"buffer_seconds": 8.0, "buffer_mb": 64},
    "store": {"max_mb": 64},
    "evidence": {"max_mb": 256},
}
"""For 2 to 4 GB of memory: few frames a second, few of them held, one core for models."""

NAMES = ("small",)


def profile(name: str, card: BundleCard) -> Tables:
    """Tables of settings; the frame encoder runs in int8 where it has that form.

    Raises:
        UsageError: there is no such profile.
    """
    if name not in NAMES:
        raise UsageError(f"--profile {name!r} is not one of: {', '.join(NAMES)}")
    tables = {section: dict(values) for section, values in SMALL.items()}
    _, forms = own_forms(card.frame_encoder, OnnxForms(pins=card.runtime))
    if INT8 in forms.pins:
        tables["model"]["dtype"] = "int8"
    return tables
