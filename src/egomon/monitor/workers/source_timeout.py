"""Time-out of silent live sources: their media time stands still, so alerts would stay open."""

from __future__ import annotations

from collections.abc import Callable

from egomon.stream.source import SourceState

AWAY_SECONDS = 5.0
"""Seconds without a source after which its open alert ends."""


class SourceTimeout:
    """Remembers since when each source has been away; `clock` in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}

    def on_state(self, source: str, state: SourceState) -> None:
        """Note a change of a source's state."""
        if state in ("stalled", "reconnecting", "offline"):
            self._since.setdefault(source, self._clock())
        else:
            self._since.pop(source, None)

    def is_long(self, source: str) -> bool:
        """True once a source has been away for `AWAY_SECONDS`."""
        since = self._since.get(source)
        return since is not None and self._clock() - since >= AWAY_SECONDS
