"""How long a live source has sent nothing: media time stands still then, and so would an alert."""

from __future__ import annotations

from collections.abc import Callable

from egomon.stream.source import SourceState

AWAY_SECONDS = 5.0
"""Away for so long, a source can renew no alert: an open one ends."""


class SourceTimeout:
    """Keeps since when each source has been away; `clock` in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}

    def hear(self, source: str, state: SourceState) -> None:
        """A source changed its state."""
        if state in ("stalled", "reconnecting", "offline"):
            self._since.setdefault(source, self._clock())
        else:
            self._since.pop(source, None)

    def is_long(self, source: str) -> bool:
        """True once a source has been away for `AWAY_SECONDS`."""
        since = self._since.get(source)
        return since is not None and self._clock() - since >= AWAY_SECONDS
