"""One line for each change, where there is no terminal to draw on."""

from __future__ import annotations

import sys
from io import TextIOBase
from typing import TextIO

from egomon.fusion.messages.types import AlertData, Data, GapData, StatusData
from egomon.view.words import (
    DOMAINS,
    OUT_OF_DOMAIN,
    PHASES,
    clean,
    clock,
    reason_of,
    refiner_words,
    status_sentence,
)


class PlainView:
    """Prints alerts, changes of state and losses; prints nothing while nothing changes.

    Args:
        stream: where to print; stderr by default, because stdout is data.
    """

    def __init__(self, stream: TextIO | TextIOBase | None = None) -> None:
        self._stream = stream
        self._last: dict[str, tuple[str, str, str]] = {}

    def apply(self, source: str, data: Data) -> None:
        """Print one event."""
        if isinstance(data, AlertData):
            self._write(source, alert_line(data))
        elif isinstance(data, GapData):
            self._write(source, f"lost {data.count} frames: {data.cause}")
        elif isinstance(data, StatusData):
            self._status(source, data)

    def _status(self, source: str, status: StatusData) -> None:
        """Format the parts of a status that changed, once the source is open."""
        if source not in self._last and status.source_state in ("connecting", "ended"):
            return
        sign, word = DOMAINS[status.domain]
        domain = f"{sign} {word}"
        if status.domain == "out_of_domain":
            domain = f"{domain}. {OUT_OF_DOMAIN}"
        parts = (status_sentence(status), domain, refiner_words(status))
        before = self._last.get(source, ("", f"{' '.join(DOMAINS['unknown'])}", ""))
        self._last[source] = parts
        for part, old in zip(parts, before, strict=True):
            if part != old:
                self._write(source, part)

    def _write(self, source: str, text: str) -> None:
        stream = self._stream or sys.stderr
        stream.write(f"{clean(source)}  {clean(text)}\n")
        stream.flush()


def alert_line(alert: AlertData) -> str:
    """One alert as one line."""
    span = f"{clock(alert.segment.media_start)}-{clock(alert.segment.media_end)}"
    return f"{PHASES[alert.phase]:9} p={alert.p:.2f} {span} {reason_of(alert)} [{alert.alert_id}]"
