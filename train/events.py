"""Event metrics of a streaming run: which mistakes were alerted, how soon, how many false alarms.

Matching: in order of time, an alert at t takes the earliest unmatched mistake [o, e) with
o - early <= t <= e + late. An alert inside the span of a mistake that already has one is a
duplicate, neither right nor false. Precision counts alerts, recall mistakes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

EARLY_SECONDS = 1.0
LATE_SECONDS = 5.0
SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Mistake:
    """A labelled mistake [start, end) in seconds of media time, with its tags."""

    start: float
    end: float
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TagRecall:
    """Mistakes with one tag and how many of them were alerted."""

    mistakes: int
    found: int

    @property
    def recall(self) -> float:
        """Found / mistakes."""
        return self.found / self.mistakes


@dataclass(frozen=True, slots=True)
class EventReport:
    """Pooled over recordings."""

    mistakes: int
    alerts: int
    found: int
    duplicates: int
    hours: float
    delays_seconds: tuple[float, ...] = field(repr=False)
    """Alert time minus onset, of found mistakes."""
    by_tag: dict[str, TagRecall]

    @property
    def false_alarms(self) -> int:
        """Alerts that match no mistake."""
        return self.alerts - self.found - self.duplicates

    @property
    def precision(self) -> float:
        """Found / (found + false alarms); 0 without alerts."""
        judged = self.found + self.false_alarms
        return self.found / judged if judged else 0.0

    @property
    def recall(self) -> float:
        """Found / mistakes; 0 without mistakes."""
        return self.found / self.mistakes if self.mistakes else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

    @property
    def false_alarms_per_hour(self) -> float:
        """Per hour of video."""
        return self.false_alarms / self.hours if self.hours else 0.0

    @property
    def delay_seconds_median(self) -> float | None:
        """None where nothing was found."""
        return float(np.median(self.delays_seconds)) if self.delays_seconds else None

    def to_json(self) -> dict[str, object]:
        """The keys of `egomon evaluate --videos --json`."""
        return {
            "event_f1": self.f1,
            "event_precision": self.precision,
            "event_recall": self.recall,
            "events": self.mistakes,
            "alerts": self.alerts,
            "false_alarms": self.false_alarms,
            "duplicates": self.duplicates,
            "hours": self.hours,
            "false_alarms_per_hour": self.false_alarms_per_hour,
            "delay_seconds_median": self.delay_seconds_median,
            "by_tag": {
                tag: {"mistakes": row.mistakes, "found": row.found, "recall": row.recall}
                for tag, row in sorted(self.by_tag.items())
            },
        }


def match_alerts(
    alert_seconds: Sequence[float],
    mistakes: Sequence[Mistake],
    *,
    early_seconds: float = EARLY_SECONDS,
    late_seconds: float = LATE_SECONDS,
) -> tuple[dict[int, float], int]:
    """Match one recording.

    Returns:
        Alert time of each found mistake by its index, and the number of duplicates.

    >>> match_alerts([4.0, 4.5, 20.0], [Mistake(2.0, 5.0)])
    ({0: 4.0}, 1)
    """
    order = sorted(range(len(mistakes)), key=lambda i: mistakes[i].start)
    found: dict[int, float] = {}
    duplicates = 0
    for t in sorted(alert_seconds):
        near = [
            i
            for i in order
            if mistakes[i].start - early_seconds <= t <= mistakes[i].end + late_seconds
        ]
        free = next((i for i in near if i not in found), None)
        if free is not None:
            found[free] = t
        elif near:
            duplicates += 1
    return found, duplicates


def evaluate_events(
    recordings: Sequence[tuple[Sequence[float], Sequence[Mistake]]],
    hours: float,
    *,
    early_seconds: float = EARLY_SECONDS,
    late_seconds: float = LATE_SECONDS,
) -> EventReport:
    """Pool recordings, each given as times of its alerts and its mistakes."""
    found_all = duplicates_all = alerts_all = mistakes_all = 0
    delays: list[float] = []
    with_tag: Counter[str] = Counter()
    found_tag: Counter[str] = Counter()
    for alerts, mistakes in recordings:
        found, duplicates = match_alerts(
            alerts, mistakes, early_seconds=early_seconds, late_seconds=late_seconds
        )
        alerts_all += len(alerts)
        mistakes_all += len(mistakes)
        found_all += len(found)
        duplicates_all += duplicates
        delays += [t - mistakes[i].start for i, t in found.items()]
        for i, mistake in enumerate(mistakes):
            with_tag.update(mistake.tags)
            if i in found:
                found_tag.update(mistake.tags)
    return EventReport(
        mistakes=mistakes_all,
        alerts=alerts_all,
        found=found_all,
        duplicates=duplicates_all,
        hours=hours,
        delays_seconds=tuple(delays),
        by_tag={tag: TagRecall(n, found_tag[tag]) for tag, n in with_tag.items()},
    )
