"""State of a view, reduced from events: bounded, without clock or thread."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from egomon.fusion.messages.types import (
    AlertData,
    Data,
    GapData,
    SegmentData,
    StatsData,
    StatusData,
)

# More do not fit on a screen, and the fleet's view is made for them.
MOST_SOURCES = 16
MOST_SCORES = 512
MOST_ALERTS = 100
MOST_NOTES = 200


@dataclass(frozen=True, slots=True)
class ScorePoint:
    """One scored segment in the strip."""

    key: tuple[int, int]
    """Epoch and number of the segment; a later message about it replaces the point."""
    p: float
    threshold: float
    stage: str
    out_of_domain: bool

    @property
    def is_over(self) -> bool:
        """True if at or above its threshold and in domain."""
        return self.p >= self.threshold and not self.out_of_domain


@dataclass(slots=True)
class SourceView:
    """Latest state of one source."""

    name: str
    status: StatusData = field(default_factory=lambda: StatusData(source_state="connecting"))
    stats: StatsData | None = None
    step: str = ""
    scores: deque[ScorePoint] = field(default_factory=lambda: deque(maxlen=MOST_SCORES))
    gaps: Counter[str] = field(default_factory=Counter)

    def drops(self) -> dict[str, int]:
        """Lost frames by cause; statistics count them all, gap messages come in between."""
        counted = dict(self.gaps)
        for key, count in (self.stats.frames if self.stats else {}).items():
            if key.startswith("dropped_") and count:
                cause = key.removeprefix("dropped_")
                counted[cause] = max(count, counted.get(cause, 0))
        return counted


@dataclass(frozen=True, slots=True)
class SourceProgress:
    """Progress of a replay."""

    fraction: float
    """0 to 1."""
    eta_seconds: float | None


class ViewState:
    """Everything on the screen; changed by one thread.

    Args:
        sources: names that are shown from the start.
    """

    def __init__(self, sources: Iterable[str] = ()) -> None:
        self.sources: dict[str, SourceView] = {}
        self.alerts: OrderedDict[str, AlertData] = OrderedDict()
        """Latest revision by id, last changed last."""
        self.alert_count = 0
        self.progress: SourceProgress | None = None
        self.is_loading = self.has_keys = False
        """Models are loading; keys are read."""
        self.page_url = ""
        """Address of the live page; None if it is not served."""
        self.notes: deque[str] = deque(maxlen=MOST_NOTES)
        """Log lines, newest last."""
        for name in sources:
            self._source(name)

    def apply(self, source: str, data: Data) -> None:
        """Apply one event."""
        view = self._source(source)
        if isinstance(data, AlertData):
            self._apply_alert(data)
        if view is None:
            return
        if isinstance(data, SegmentData):
            _apply_segment(view, data)
        elif isinstance(data, StatusData):
            view.status = data
        elif isinstance(data, StatsData):
            view.stats = data
        elif isinstance(data, GapData) and (data.cause in view.gaps or len(view.gaps) < 16):
            view.gaps[data.cause] += data.count

    def set_progress(self, fraction: float, eta_seconds: float | None) -> None:
        """Set the share of a replay that is done, and the seconds left."""
        self.progress = SourceProgress(min(1.0, max(0.0, fraction)), eta_seconds)

    def last_alerts(self, count: int) -> Sequence[AlertData]:
        """Newest first."""
        return [alert for alert, _ in zip(reversed(self.alerts.values()), range(count))]  # noqa: B905

    def _source(self, name: str) -> SourceView | None:
        if name not in self.sources:
            if len(self.sources) >= MOST_SOURCES:
                return None
            self.sources[name] = SourceView(name)
        return self.sources[name]

    def _apply_alert(self, alert: AlertData) -> None:
        known = self.alerts.pop(alert.alert_id, None)
        if known is not None and known.rev >= alert.rev:
            alert = known
        elif alert.phase == "new":
            self.alert_count += 1
        self.alerts[alert.alert_id] = alert
        if len(self.alerts) > MOST_ALERTS:
            self.alerts.popitem(last=False)


def _apply_segment(view: SourceView, data: SegmentData) -> None:
    point = ScorePoint(
        key=(data.segment.epoch, data.segment.id),
        p=data.p,
        threshold=data.scores.threshold,
        stage=data.stage,
        out_of_domain=data.out_of_domain,
    )
    view.step = data.step.text if data.step is not None else ""
    # A revised segment is at most a few places back.
    for back in range(1, min(16, len(view.scores)) + 1):
        if view.scores[-back].key == point.key:
            view.scores[-back] = point
            return
    view.scores.append(point)
