"""State of a page, reduced from events; bounded for the live page."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from egomon.fusion.messages.types import (
    AlertData,
    Data,
    GapData,
    SegmentData,
    StatsData,
    StatusData,
)
from egomon.report.rows import alert_revision, plain, segment_row

MOST_GAPS = 1000
MOST_REVISIONS = 50


@dataclass(slots=True)
class SourcePage:
    """One source."""

    rows: OrderedDict[tuple[int, int], list[Any]] = field(default_factory=OrderedDict)
    """By epoch and segment; a revised segment replaces its row."""
    gaps: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MOST_GAPS))
    status: dict[str, Any] | None = None
    stats: dict[str, Any] | None = None
    was_out_of_domain: bool = False
    cycle_start: float | None = None
    """Media seconds at which the present cycle of the work was begun by hand."""

    def media_seconds(self) -> float:
        """Media time up to which something is known."""
        newest = next(reversed(self.rows.values()))[3] if self.rows else 0.0
        return max(newest, self.stats["media_seconds"] if self.stats else 0.0)


class PageModel:
    """Reduces events to the data of a page.

    Args:
        most_segments: of each source; the oldest are forgotten. None keeps all.
        most_alerts: likewise.
    """

    def __init__(self, *, most_segments: int | None = None, most_alerts: int | None = None) -> None:
        self.sources: dict[str, SourcePage] = {}
        self.alerts: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._most_segments = most_segments
        self._most_alerts = most_alerts

    def apply(self, source: str, data: Data) -> dict[str, Any] | None:
        """Apply one event; return the change for the page, None if nothing shown changes."""
        page = self.sources.setdefault(source, SourcePage())
        if isinstance(data, SegmentData):
            row = segment_row(data)
            page.rows[(data.segment.epoch, data.segment.id)] = row
            if self._most_segments is not None and len(page.rows) > self._most_segments:
                page.rows.popitem(last=False)
            return {"kind": "segment", "source": source, "row": row}
        if isinstance(data, AlertData):
            return {"kind": "alert", "source": source, "alert": self._alert(source, data)}
        if isinstance(data, StatusData):
            page.status = plain(data)
            page.was_out_of_domain |= data.domain == "out_of_domain"
            return {"kind": "status", "source": source, "status": page.status}
        if isinstance(data, StatsData):
            page.stats = plain(data)
            return {"kind": "stats", "source": source, "stats": page.stats}
        if isinstance(data, GapData):
            page.gaps.append(plain(data))
            return {"kind": "gap", "source": source, "gap": page.gaps[-1]}
        return None

    def begin_cycle(self, source: str) -> dict[str, Any]:
        """The work begins anew now; return the change for the page."""
        page = self.sources.setdefault(source, SourcePage())
        page.cycle_start = page.media_seconds()
        return {"kind": "cycle", "source": source, "media_seconds": page.cycle_start}

    def _alert(self, source: str, data: AlertData) -> dict[str, Any]:
        known = self.alerts.get(data.alert_id)
        if known is not None and known["rev"] >= data.rev:
            return known
        revisions = [*(known["revisions"] if known else []), alert_revision(data)]
        shown = {**plain(data), "source": source, "revisions": revisions[-MOST_REVISIONS:]}
        if known is not None and not shown["evidence"]:
            shown["evidence"] = known["evidence"]
        self.alerts[data.alert_id] = shown
        if self._most_alerts is not None and len(self.alerts) > self._most_alerts:
            self.alerts.popitem(last=False)
        return shown

    def as_data(self, **more: Any) -> dict[str, Any]:
        """Return everything, for the page's data element."""
        alerts = sorted(self.alerts.values(), key=lambda a: (a["media_opened"], a["alert_id"]))
        return {
            **more,
            "sources": [_source(name, page) for name, page in self.sources.items()],
            "alerts": alerts,
        }


def _source(name: str, page: SourcePage) -> Mapping[str, Any]:
    return {
        "name": name,
        "rows": sorted(page.rows.values(), key=lambda row: (row[2], row[0])),
        "gaps": list(page.gaps),
        "status": page.status,
        "stats": page.stats,
        "was_out_of_domain": page.was_out_of_domain,
        "cycle_start": page.cycle_start,
    }
