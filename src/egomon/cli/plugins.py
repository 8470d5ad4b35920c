"""Plug-ins on the command line: checked before a run, listed by `doctor`."""

from __future__ import annotations

from egomon.branches.bundle.libraries import ENCODERS
from egomon.fusion.sinks.open import SINKS
from egomon.plugins import Plugin, PluginRegistry
from egomon.stream.sources.open import SOURCES

REGISTRIES = (SOURCES, ENCODERS, SINKS)


def check_names() -> None:
    """Look at the names of all plug-ins, used or not, without importing them.

    Raises:
        PluginError: two packages claim one name, or one claims a name of egomon's own.
    """
    for registry in REGISTRIES:
        registry.check()


def installed() -> list[tuple[PluginRegistry, Plugin]]:
    """Every plug-in of another package, good or bad, with where it belongs."""
    return [(registry, plugin) for registry in REGISTRIES for plugin in registry.installed()]
