"""Open alerts that are told again until somebody has seen them, where that was asked for."""

from __future__ import annotations

from collections.abc import Callable

from egomon.errors import UsageError
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.types import AlertData
from egomon.fusion.sinks.notices.notice import Notice
from egomon.fusion.sinks.sink import SeenAlerts
from egomon.fusion.sinks.uri import parse_options

REPEAT_SECONDS = (10.0, 3600.0)
"""Shortest and longest that may be asked for: a sentence takes five."""
MOST_REPEATS = 30
"""Nobody is there: after so many an alert is not told any more."""
MOST_OPEN = 16
"""Alerts that are repeated at a time, the newest."""


class Repeats:
    """Alerts that are open, and when each is told again; for one thread.

    Args:
        seconds: from one time that an alert is told to the next.
        clock: monotonic seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds, self._clock = seconds, clock
        self._open: dict[str, tuple[Notice, float, int]] = {}

    def note(self, message: Message, notice: Notice | None) -> None:
        """An alert that was told is open; one that ends or is taken back is over."""
        data = message.data
        if not isinstance(data, AlertData):
            return
        if notice is not None and notice.kind == "open":
            self._open[data.alert_id] = (notice, self._clock() + self._seconds, MOST_REPEATS)
            if len(self._open) > MOST_OPEN:
                del self._open[next(iter(self._open))]
        elif data.phase in ("end", "retract"):
            self._open.pop(data.alert_id, None)

    def due(self, seen: SeenAlerts) -> Notice | None:
        """One alert whose time has come; None where none is, or somebody has seen it."""
        now = self._clock()
        for alert_id, (notice, at, left) in list(self._open.items()):
            if now < at:
                continue
            # Behind the others: with several open alerts each has its turn.
            del self._open[alert_id]
            if alert_id in seen:
                continue
            if left > 1:
                self._open[alert_id] = (notice, now + self._seconds, left - 1)
            return notice
        return None


def make_repeats(options: str, clock: Callable[[], float], *, label: str) -> Repeats | None:
    """Repeats as the option `repeat=SECONDS` of an address asks for; None without it.

    Raises:
        UsageError: an unknown option, or no number of seconds from 10 to 3600.
    """
    text = parse_options(options, ("repeat",), label=label).get("repeat")
    if text is None:
        return None
    shortest, longest = REPEAT_SECONDS
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        seconds = 0.0
    if not shortest <= seconds <= longest:
        raise UsageError(
            f"{label}: repeat={text} cannot be used; give {shortest:g} to {longest:g} seconds, "
            "such as #repeat=20s"
        )
    return Repeats(seconds, clock)
