"""What a person hears of: an alert opens or is taken back, a camera is lost, other work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from egomon.fusion.messages.message import Message
from egomon.fusion.messages.types import AlertData, StatusData
from egomon.text import printable

NoticeKind = Literal["open", "retracted", "lost", "outside"]
LOST = ("stalled", "reconnecting", "offline")
FRESH_SECONDS = 5.0
"""What is older when its turn comes is not told: a late sentence is about something else."""
# A phone shows two or three lines.
MOST_CHARACTERS = 300
TONES: Mapping[NoticeKind, tuple[tuple[float, float], ...]] = {
    "open": ((988.0, 0.12), (1319.0, 0.12), (1760.0, 0.3)),
    "retracted": ((784.0, 0.15), (587.0, 0.3)),
    "lost": ((220.0, 0.35), (0.0, 0.1), (220.0, 0.35)),
    "outside": ((440.0, 0.5),),
}
"""(Hz, seconds) one after another, 0 Hz = silence: up for a mistake, down for its retraction."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell."""

    kind: NoticeKind
    sentence: str
    """One printable line."""


class Notices:
    """Chooses what to tell; remembers the state of each source, so that each change is told once.

    Args:
        now: UTC, to leave out what is late.
    """

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._lost: dict[str, bool] = {}
        self._outside: dict[str, bool] = {}

    def of(self, message: Message) -> Notice | None:
        """What this message tells; None where a person need not know, or it comes too late."""
        found = self._found(message)
        age = self._now() - datetime.fromisoformat(message.envelope.time)
        if message.recovered or age.total_seconds() > FRESH_SECONDS:
            return None
        return found

    def _found(self, message: Message) -> Notice | None:
        data, source = message.data, message.source
        if isinstance(data, AlertData):
            if data.phase == "new":
                return _notice("open", f"Mistake. {data.explanation}")
            if data.phase == "retract":
                return _notice("retracted", "It was no mistake after all.")
            return None
        if not isinstance(data, StatusData):
            return None
        is_lost, is_outside = data.source_state in LOST, data.domain == "out_of_domain"
        was_lost, self._lost[source] = self._lost.get(source, False), is_lost
        was_outside, self._outside[source] = self._outside.get(source, False), is_outside
        if is_lost and not was_lost:
            return _notice("lost", f"Camera lost: {source}.")
        if is_outside and not was_outside:
            return _notice("outside", "This is unlike the taught work; no mistakes are reported.")
        return None


def _notice(kind: NoticeKind, sentence: str) -> Notice:
    one_line = " ".join(printable(sentence).split())
    return Notice(kind, one_line[:MOST_CHARACTERS])
