"""Prometheus metrics: kept from the monitor's own events, read at each scrape."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import get_args

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from egomon import __version__
from egomon.fusion.messages.types import AlertData, Data, GapData, StatsData, StatusData
from egomon.monitor.operations.process import rss_bytes
from egomon.stream.source import SourceState

FRESH_SECONDS = 2.0
"""A source without a frame for so long shows 0 frames a second and is not ready."""
OUTCOMES = {
    "dropped_staleness": "dropped_stale",
    "dropped_buffer_full": "dropped_full",
    "dropped_decode_error": "error",
}
BREAKER_STATES = ("absent", "closed", "open", "half-open")
REFINE_RESULTS = ("ok", "late", "expired", "failed", "coalesced", "rejected")
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

Probe = Callable[[], Mapping[str, float]]
"""Numbers that no event carries, by metric name without the prefix; called at each scrape."""


@dataclass(slots=True)
class _SourceFigures:
    status: StatusData = field(default_factory=lambda: StatusData(source_state="connecting"))
    stats: StatsData | None = None
    fps: float = 0.0
    frame_at: float | None = None
    """Clock when frames were last seen to come in."""
    frame_wall: float | None = None
    stats_at: float = 0.0
    reconnects: int = 0
    stalls: int = 0
    gaps: Counter[str] = field(default_factory=Counter)


class MonitorMetrics(Collector):
    """Listens to the event publisher (`on_event`, emit thread); the HTTP thread reads it.

    Args:
        probe: extra gauges and counters; a name that ends in `_total` is a counter.
        clock: monotonic seconds.
        wall: seconds since 1970.
    """

    def __init__(
        self,
        *,
        probe: Probe = dict,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._probe = probe
        self._clock = clock
        self._wall = wall
        self._lock = threading.Lock()
        self._sources: dict[str, _SourceFigures] = {}
        self._alerts: Counter[tuple[str, str, str]] = Counter()
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self._engines = Histogram(
            "egomon_stage_latency_seconds",
            "Time in one stage",
            ["stage"],
            registry=self.registry,
            buckets=BUCKETS,
        )
        self._end_to_end = Histogram(
            "egomon_end_to_end_latency_seconds",
            "Last frame of a segment captured to its alert published",
            registry=self.registry,
            buckets=BUCKETS,
        )

    def on_event(self, source: str, data: Data) -> None:
        """See `EventListener`."""
        with self._lock:
            figures = self._sources.setdefault(source, _SourceFigures())
            if isinstance(data, StatsData):
                self._on_stats(figures, data)
            elif isinstance(data, StatusData):
                self._on_status(figures, data)
            elif isinstance(data, AlertData):
                self._on_alert(source, data)
            elif isinstance(data, GapData):
                figures.gaps[data.cause] += 1

    def not_ready(self, *, allow_degraded: bool = False) -> str | None:
        """Return why the monitor is not ready; None if it is."""
        with self._lock:
            if not any(figures.stats for figures in self._sources.values()):
                return "the models are not loaded yet"
            for name, figures in self._sources.items():
                if figures.status.source_state != "online":
                    return f"source {name} is {figures.status.source_state}"
                if not self._is_fresh(figures):
                    return f"source {name} gave no frame for {FRESH_SECONDS:g} s"
                if figures.status.degraded and not allow_degraded:
                    return "the large branch is not available"
        return None

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        with self._lock:
            yield from self._of_sources()
            yield from self._of_fusion()
        yield from self._of_process()

    def _on_stats(self, figures: _SourceFigures, data: StatsData) -> None:
        now = self._clock()
        before = figures.stats.frames.get("decoded", 0) if figures.stats else 0
        came = data.frames.get("decoded", 0) - before
        if came > 0:
            figures.frame_at, figures.frame_wall = now, self._wall()
        if figures.stats is not None and now > figures.stats_at:
            figures.fps = max(0, came) / (now - figures.stats_at)
        figures.stats, figures.stats_at = data, now
        if encode_ms := data.latency_ms.get("encode_frame"):
            self._engines.labels("encode_frame").observe(encode_ms / 1000)

    def _on_status(self, figures: _SourceFigures, data: StatusData) -> None:
        before, figures.status = figures.status, data
        changed = data.source_state != before.source_state
        figures.stalls += changed and data.source_state == "stalled"
        if data.source_state == "reconnecting":
            figures.reconnects += changed or data.attempt != before.attempt

    def _on_alert(self, source: str, data: AlertData) -> None:
        self._alerts[source, data.phase, data.severity] += 1
        if data.phase != "new" or data.latency_ms is None:
            return
        self._engines.labels("small").observe(data.latency_ms.small / 1000)
        if data.latency_ms.large is not None:
            self._engines.labels("large").observe(data.latency_ms.large / 1000)
        self._end_to_end.observe(data.latency_ms.end_to_end / 1000)

    def _is_fresh(self, figures: _SourceFigures) -> bool:
        at = figures.frame_at
        return at is not None and self._clock() - at < FRESH_SECONDS

    def _of_sources(self) -> Iterator[Metric]:
        frames = _counter("frames", "Frames by what became of them", "source", "outcome")
        reconnects = _counter("reconnects", "Attempts to open a source again", "source")
        stalls = _counter("stalls", "Times that a source went silent", "source")
        gaps = _counter("gaps", "Holes in the stream", "source", "cause")
        state = _gauge("source_state", "1 for the present state", "source", "state")
        fps = _gauge("fps", "Frames a second now; 0 from a dead source", "source")
        depth = _gauge("queue_depth", "What waits", "source", "queue")
        last = _gauge("last_frame_timestamp_seconds", "Wall time of the newest frame", "source")
        for name, figures in self._sources.items():
            stats = figures.stats
            for outcome, count in (stats.frames if stats else {}).items():
                frames.add_metric([name, OUTCOMES.get(outcome, outcome)], count)
            reconnects.add_metric([name], figures.reconnects)
            stalls.add_metric([name], figures.stalls)
            for cause, count in figures.gaps.items():
                gaps.add_metric([name, cause], count)
            present = figures.status.source_state
            for each in get_args(SourceState):
                state.add_metric([name, each], each == present)
            alive = present == "online" and self._is_fresh(figures)
            fps.add_metric([name], figures.fps if alive else 0.0)
            for queue, waiting in (stats.queues if stats else {}).items():
                depth.add_metric([name, queue], waiting)
            if figures.frame_wall is not None:
                last.add_metric([name], figures.frame_wall)
        yield from (frames, reconnects, stalls, gaps, state, fps, depth, last)

    def _of_fusion(self) -> Iterator[Metric]:
        """Return counters of the large branch; sources share it, so the highest are the newest."""
        refine = _counter("refine", "Answers of the large branch", "result")
        counted = [f.stats.refine for f in self._sources.values() if f.stats]
        for result in REFINE_RESULTS:
            refine.add_metric([result], max((c.get(result, 0) for c in counted), default=0))
        breaker = _gauge("breaker_state", "1 for the large branch's present state", "state")
        now = {figures.status.refiner for figures in self._sources.values()} or {"absent"}
        for each in BREAKER_STATES:
            breaker.add_metric([each], each in now)
        degraded = _gauge("degraded", "1 while the small branch stands alone unplanned")
        degraded.add_metric([], any(f.status.degraded for f in self._sources.values()))
        alerts = _counter("alerts", "Alert revisions", "source", "phase", "severity")
        for labels, count in self._alerts.items():
            alerts.add_metric([*labels], count)
        yield from (refine, breaker, degraded, alerts)

    def _of_process(self) -> Iterator[Metric]:
        figures = {
            "process_rss_bytes": rss_bytes(),
            "gpu_memory_bytes": gpu_bytes(),
            **self._probe(),
        }
        for name, value in figures.items():
            if name.endswith("_total"):
                metric: Metric = CounterMetricFamily(f"egomon_{name}", name, value=value)
            else:
                metric = GaugeMetricFamily(f"egomon_{name}", name, value=value)
            yield metric
        build = _gauge("build_info", "Version of egomon", "version")
        build.add_metric([__version__], 1)
        yield build


def gpu_bytes() -> int:
    """GPU memory that PyTorch holds in this process; 0 without a GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0
    return int(torch.cuda.memory_allocated())


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"egomon_{name}", text, labels=labels)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"egomon_{name}", text, labels=labels)
