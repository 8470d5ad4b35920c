"""Statistics once a second and the summary at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from egomon.fusion.messages.types import StatsData
from egomon.monitor.build import AlertEngines
from egomon.monitor.messages import RunSummary
from egomon.monitor.operations.process import rss_bytes
from egomon.monitor.workers.source_worker import SourceWorker


def source_stats(
    item: SourceWorker,
    parts: AlertEngines,
    *,
    elapsed_seconds: float,
    encode_ms: float,
    alerts: Counter[str],
) -> StatsData:
    """Build the `stats` message of one source."""
    stage, refinement = parts.engines[item.name], parts.refinement
    counts = item.frame_counts()
    return StatsData(
        media_seconds=round(item.media_seconds, 3),
        fps=round(counts["decoded"] / max(1e-3, elapsed_seconds), 2),
        frames={**counts, "encoded": stage.progress.frames if stage.progress else 0},
        segments=stage.segments,
        alerts_open=int(stage.lifecycle.open_alert is not None),
        alerts_total=alerts["new"],
        queues={
            "buffer": item.buffer.unread,
            "refine": len(refinement.queue) if refinement.queue is not None else 0,
            "pending": stage.pending,
        },
        refine=dict(refinement.counts),
        latency_ms={"encode_frame": round(encode_ms, 3)},
        rss_bytes=rss_bytes(),
    )


def summarise(
    inputs: Sequence[SourceWorker],
    parts: AlertEngines,
    *,
    wall_seconds: float,
    alerts: Counter[str],
    stopped_by: str,
) -> RunSummary:
    """Summarise a run."""
    frames: Counter[str] = Counter()
    for item in inputs:
        stage = parts.engines[item.name]
        frames.update(item.frame_counts())
        frames["encoded"] += stage.progress.frames if stage.progress else 0
    domains = {
        name: stage.progress.domain if stage.progress else "unknown"
        for name, stage in parts.engines.items()
    }
    return RunSummary(
        sources=tuple(item.name for item in inputs),
        model=parts.plan.bundle.model_id,
        media_seconds=round(max((i.media_seconds for i in inputs), default=0.0), 3),
        wall_seconds=round(wall_seconds, 3),
        frames=dict(frames),
        segments=sum(stage.segments for stage in parts.engines.values()),
        alerts={phase: alerts[phase] for phase in ("new", "update", "end", "retract")},
        refine=dict(parts.refinement.counts),
        domain=domains,
        degraded=parts.refinement.degraded,
        stopped_by=stopped_by,
    )
