"""Which libraries a card may name for its frame encoder; without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from egomon.errors import BundleError
from egomon.plugins import Plugin, PluginRegistry

HERE = "egomon.branches.encoders"
LOADERS: dict[str, str] = {
    "open_clip": f"{HERE}.clip_tower:load",
    "dcr": f"{HERE}.dcr_weights:load",
    "timm": f"{HERE}.timm_tower:load",
    "lite0": f"{HERE}.lite0:load",
}
"""library -> function (card, folder) -> LoadedTower with its own weights, or, where the card's
weights are `bundle`, freshly initialised."""

ENCODERS = PluginRegistry(
    "egomon.encoders",
    "frame encoder",
    {
        **LOADERS,
        "bundled": f"{HERE}.registry:build_frame_encoder",
        "none": f"{HERE}.precomputed:PrecomputedEncoder",
    },
)
"""library -> function (card, EncoderContext) -> FrameEncoder, for those of other packages."""


@dataclass(frozen=True, slots=True, eq=False)
class EncoderContext:
    """Context in which a frame encoder of another package is made, beside its card."""

    folder: Path = Path()
    """Folder in which relative paths of the card start."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    dtype: str = "auto"
    """`auto`, `float32`, `bfloat16` or `int8`; raise a UsageError for one that cannot be."""
    weights: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """What the bundle holds under `encoder.`, prefix removed; empty unless the card's weights are
    `bundle`."""


def find_library(library: str) -> Plugin:
    """Find the plug-in that makes the frame encoders of a library; nothing is imported.

    Raises:
        BundleError: neither egomon nor an installed package brings it.
        PluginError: several packages bring it.
    """
    plugin = ENCODERS.find(library)
    if plugin is None:
        raise BundleError(
            f"field `frame_encoder.library` is {library!r}, but there are only "
            f"{', '.join(ENCODERS.names())}; install the package that brings it"
        )
    return plugin
