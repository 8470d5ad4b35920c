"""A settings file that is read again while the monitor watches: validate, compare, apply."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from egomon.config import Settings, plain
from egomon.errors import ConfigError

logger = logging.getLogger(__name__)

RELOADABLE: Mapping[str, frozenset[str]] = {
    "decision": frozenset(
        {
            "threshold_fused",
            "threshold_small",
            "cooldown_seconds",
            "refine_deadline_seconds",
            "refine_calls_per_minute",
        }
    ),
    "source": frozenset({"staleness_seconds"}),
    "store": frozenset({"keep_days", "max_mb"}),
    "evidence": frozenset({"before_seconds", "after_seconds", "max_mb", "keep_days"}),
    "metrics": frozenset({"allow_degraded"}),
}
"""Settings that take effect while watching; any other change needs a restart."""


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that differs."""

    key: str
    before: object
    after: object

    def __str__(self) -> str:
        return f"{self.key} {self.before} -> {self.after}"


def changes(before: Settings, after: Settings) -> list[Change]:
    """List the changed settings, in their order.

    Raises:
        ConfigError: something that needs a restart differs; nothing may be applied then.
    """
    found, fixed = [], []
    old, new = plain(before), plain(after)
    for section, values in old.items():
        for key, value in values.items():
            if new[section][key] == value:
                continue
            change = Change(f"{section}.{key}", value, new[section][key])
            found.append(change)
            if key not in RELOADABLE.get(section, ()):
                fixed.append(change.key)
    if fixed:
        raise ConfigError(
            f"{', '.join(fixed)} cannot change while watching; restart egomon to change it"
        )
    return found


class Reloader:
    """Holds the settings in use; an invalid file changes nothing and becomes a fault.

    Args:
        settings: in use at the start.
        read: reads file, environment and flags again.
        apply: makes checked settings effective; may raise ConfigError before it changes anything.
    """

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Settings],
        apply: Callable[[Settings], None],
    ) -> None:
        self.settings = settings
        self._read = read
        self._apply = apply
        self.fault: str | None = None
        """Why the present file is not in use; None if it is."""

    def reload(self) -> list[Change]:
        """Read the settings again; return the changes."""
        try:
            after = self._read()
            found = changes(self.settings, after)
            if found:
                self._apply(after)
        except ConfigError as error:
            self.fault = f"the settings in use stay: {error}"
            logger.error("%s", self.fault)
            return []
        self.settings, self.fault = after, None
        logger.warning("settings read again: %s", ", ".join(map(str, found)) or "no change")
        return found
