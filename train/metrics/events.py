"""Alerts as events: which mistakes were alerted, how late, and how many alarms were false."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from rich.table import Table

from egomon.train.metrics.threshold import harmonic

EARLY_SECONDS = 1.0
"""An alert may come this long before a mistake's onset and still count for it."""
LATE_SECONDS = 5.0
"""Default tolerance T after a mistake's end."""


class Labelled(Protocol):
    """A labelled segment."""

    @property
    def recording(self) -> str:
        """Its recording."""

    @property
    def start(self) -> float:
        """Onset, seconds."""

    @property
    def end(self) -> float:
        """End, seconds."""

    @property
    def label(self) -> int | None:
        """1 = mistake."""

    @property
    def tags(self) -> Sequence[str]:
        """Kinds of the mistake."""


@dataclass(frozen=True, slots=True)
class AlertTime:
    """Recording and media time of an alert."""

    recording: str
    t_seconds: float


@dataclass(frozen=True, slots=True)
class EventReport:
    """Event scores; rates are NaN-free: an empty denominator gives 0."""

    events: int
    alerts: int
    matched: int
    duplicates: int
    """Further alerts in the window of a matched mistake; no false alarms."""
    false_alarms: int
    hours: float
    delay_seconds_median: float | None
    delay_seconds_p90: float | None
    by_tag: dict[str, float]
    """Recall of each tag."""

    @property
    def precision(self) -> float:
        """Matched / (matched + false)."""
        judged = self.matched + self.false_alarms
        return self.matched / judged if judged else 0.0

    @property
    def recall(self) -> float:
        """Matched / mistakes."""
        return self.matched / self.events if self.events else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        return harmonic(self.precision, self.recall)

    @property
    def false_alarms_per_hour(self) -> float:
        """Of stream time; H hours resolve no finer than 1 / H."""
        return self.false_alarms / self.hours if self.hours > 0 else 0.0

    def to_json(self) -> dict[str, object]:
        """The object that `egomon evaluate --videos --json` prints."""
        return {
            "event_f1": self.f1,
            "event_precision": self.precision,
            "event_recall": self.recall,
            "events": self.events,
            "alerts": self.alerts,
            "duplicates": self.duplicates,
            "false_alarms": self.false_alarms,
            "false_alarms_per_hour": self.false_alarms_per_hour,
            "hours": self.hours,
            "delay_seconds_median": self.delay_seconds_median,
            "delay_seconds_p90": self.delay_seconds_p90,
            "by_tag": self.by_tag,
        }

    def table(self) -> Table:
        """Render the report as lines of text."""
        table = Table("score", "value", title="Alerts as events")
        for key, value in self.to_json().items():
            if key != "by_tag":
                table.add_row(key, f"{value:.3f}" if isinstance(value, float) else str(value))
        for tag, recall in self.by_tag.items():
            table.add_row(f"recall of {tag}", f"{recall:.3f}")
        return table


def evaluate_events(
    alerts: Iterable[AlertTime],
    segments: Iterable[Labelled],
    hours: float,
    *,
    tolerance_seconds: float = LATE_SECONDS,
    strict: bool = False,
) -> EventReport:
    """Match alerts to mistakes.

    In order of time each alert takes the mistake of earliest onset o that nobody has taken and
    whose window [o - 1 s, e + tolerance] holds it.

    Args:
        alerts: when each alert opened.
        segments: labelled segments; those with label 1 are the events.
        hours: stream time of all recordings.
        tolerance_seconds: after a mistake's end.
        strict: count duplicates as false alarms.
    """
    events: dict[str, list[Labelled]] = defaultdict(list)
    for segment in segments:
        if segment.label == 1:
            events[segment.recording].append(segment)
    times: dict[str, list[float]] = defaultdict(list)
    for alert in alerts:
        times[alert.recording].append(alert.t_seconds)
    delays: list[float] = []
    served: list[Labelled] = []
    duplicates = false = 0
    for recording, when in times.items():
        hits, again, wrong = _match(sorted(when), events.get(recording, []), tolerance_seconds)
        delays += [t - event.start for t, event in hits]
        served += [event for _, event in hits]
        duplicates, false = duplicates + again, false + wrong
    return EventReport(
        events=sum(map(len, events.values())),
        alerts=sum(map(len, times.values())),
        matched=len(served),
        duplicates=duplicates,
        false_alarms=false + (duplicates if strict else 0),
        hours=hours,
        delay_seconds_median=float(np.median(delays)) if delays else None,
        delay_seconds_p90=float(np.quantile(delays, 0.9)) if delays else None,
        by_tag=_by_tag([e for found in events.values() for e in found], served),
    )


def _match(
    times: Sequence[float], events: Sequence[Labelled], tolerance: float
) -> tuple[list[tuple[float, Labelled]], int, int]:
    """Hits, duplicates and false alarms of one recording."""
    waiting = sorted(events, key=lambda e: e.start)
    hits: list[tuple[float, Labelled]] = []
    duplicates = false = 0
    for t in times:
        event = next((e for e in waiting if _holds(e, t, tolerance)), None)
        if event is not None:
            waiting.remove(event)
            hits.append((t, event))
        elif any(_holds(e, t, tolerance) for _, e in hits):
            duplicates += 1
        else:
            false += 1
    return hits, duplicates, false


def _holds(event: Labelled, t: float, tolerance: float) -> bool:
    return event.start - EARLY_SECONDS <= t <= event.end + tolerance


def _by_tag(events: Sequence[Labelled], served: Sequence[Labelled]) -> dict[str, float]:
    found = {id(event) for event in served}
    hits: dict[str, list[bool]] = defaultdict(list)
    for event in events:
        for tag in event.tags:
            hits[tag].append(id(event) in found)
    return {tag: float(np.mean(hits[tag])) for tag in sorted(hits)}
