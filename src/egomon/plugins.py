"""Plug-ins: sources, frame encoders and sinks that other packages bring, found by entry point.

A package that is installed beside egomon names a function under `egomon.sources`,
`egomon.encoders` or `egomon.sinks`; nothing of it is imported before its name is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Any, cast

from egomon.errors import EgomonError, PluginError

NAME = re.compile(r"[a-z][a-z0-9+._-]*")


def installed(group: str) -> tuple[EntryPoint, ...]:
    """Entry points of one group, of all installed packages; read once a process."""
    return tuple(_entry_points().select(group=group))


@cache
def _entry_points() -> EntryPoints:
    # Reads a file of each package, whatever group is asked for; its type has another name in 3.11.
    return cast(EntryPoints, entry_points())


@dataclass(frozen=True, slots=True)
class Plugin:
    """One name that a package brings."""

    word: str
    """`source`, `frame encoder` or `sink`."""
    entry: EntryPoint

    @property
    def name(self) -> str:
        """Name as the user writes it."""
        return self.entry.name

    @property
    def is_built_in(self) -> bool:
        """True for what egomon itself brings."""
        return self.entry.dist is None

    @property
    def package(self) -> str:
        """Name and version of its distribution package."""
        dist = self.entry.dist
        return "egomon" if dist is None else f"{dist.name} {dist.version}"

    def __str__(self) -> str:
        return f"the {self.word} {self.name!r} of package {self.package}"


class PluginRegistry:
    """All names of one kind: those that egomon brings, and those of other packages.

    Args:
        group: of entry points, e.g. `egomon.sources`.
        word: what one of them is called in messages.
        built_in: names that egomon brings, with `module:function` of each.
        found: entry points of other packages.
    """

    def __init__(
        self,
        group: str,
        word: str,
        built_in: Mapping[str, str],
        found: Callable[[str], Sequence[EntryPoint]] = installed,
    ) -> None:
        self.word = word
        self._group, self._found = group, found
        self._built_in = {
            name: Plugin(word, EntryPoint(name, home, group)) for name, home in built_in.items()
        }

    def installed(self) -> list[Plugin]:
        """Plug-ins of other packages, valid or not, by name."""
        found = [Plugin(self.word, entry) for entry in self._found(self._group)]
        return sorted(found, key=lambda plugin: (plugin.name, plugin.package))

    def names(self) -> list[str]:
        """Every name, sorted."""
        return sorted({*self._built_in, *(plugin.name for plugin in self.installed())})

    def check(self) -> None:
        """Look at all names, without importing anything.

        Raises:
            PluginError: a package takes a name that another one or egomon has.
        """
        for plugin in self.installed():
            self.find(plugin.name)

    def find(self, name: str) -> Plugin | None:
        """The one plug-in of this name; None if there is none.

        Raises:
            PluginError: more than one package brings it, or it is no name.
        """
        own = self._built_in.get(name)
        others = [plugin for plugin in self.installed() if plugin.name == name]
        if not others:
            return own
        first = others[0]
        if own is not None:
            raise PluginError(
                f"{first} has the name of one that egomon brings; uninstall that package or ask "
                "its authors for another name"
            )
        if len(others) > 1:
            raise PluginError(
                f"packages {' and '.join(p.package for p in others)} bring the same {self.word} "
                f"{name!r}; uninstall all but one"
            )
        if not NAME.fullmatch(name):
            raise PluginError(
                f"{first} is no name: use a-z first, then a-z, 0-9 and + . _ -; ask its authors "
                "for another name, or uninstall that package"
            )
        return first

    def load(self, plugin: Plugin) -> Callable[..., Any]:
        """Import the function of a plug-in.

        Raises:
            PluginError: that fails, or it is no function.
        """
        if plugin.is_built_in:
            return cast(Callable[..., Any], plugin.entry.load())
        try:
            function = plugin.entry.load()
        except Exception as error:
            raise PluginError(
                f"{plugin} cannot be loaded: {_told(error)}; repair or uninstall that package"
            ) from error
        if not callable(function):
            raise PluginError(
                f"{plugin} is of type {type(function).__name__} and cannot be called; repair or "
                "uninstall that package"
            )
        return cast(Callable[..., Any], function)

    def make(self, plugin: Plugin, wanted: Any, *arguments: object) -> Any:
        """Load a plug-in and call its function; what it gives must have all parts of `wanted`.

        Args:
            plugin: from `find`.
            wanted: a protocol that can be checked at run time.
            arguments: of the function.

        Raises:
            PluginError: it raises something else than an EgomonError, or gives something else.
        """
        function = self.load(plugin)
        if plugin.is_built_in:  # what it raises is a bug of egomon, not of a package
            return function(*arguments)
        try:
            made = function(*arguments)
        except EgomonError:
            raise
        except Exception as error:
            raise PluginError(
                f"{plugin} failed: {_told(error)}; repair or uninstall that package"
            ) from error
        if not isinstance(made, wanted):
            raise PluginError(
                f"{plugin} gave a {type(made).__name__}, which is no {wanted.__name__}; repair or "
                "uninstall that package"
            )
        return made


def _told(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
