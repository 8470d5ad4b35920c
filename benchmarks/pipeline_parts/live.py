"""Live figures: how late alerts are, and what watching costs beside decoding and models."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from egomon.monitor import Monitor
from pipeline_parts import models
from pipeline_parts.bench import Bench
from pipeline_parts.figures import Measured
from pipeline_parts.spent import busy_cores, percentile
from pipeline_parts.video import FPS, PacedCamera
from pipeline_parts.watch import (
    ALWAYS,
    BatchingMonitor,
    Delay,
    delays,
    receiver,
    spans_file,
    watch,
)

SETTLED = FPS
"""Frames of the first second, while caches are cold, do not count."""


def _alerting(bench: Bench, seconds: float, length: float) -> list[Delay]:
    """Live with an alert for each given segment; their delays."""
    bundle, work = models.noted(bench.vit)
    camera = PacedCamera(bench.film, seconds=min(seconds, 12.0 if bench.quick else 60.0))
    spans = spans_file(bench.folder / "spans.jsonl", seconds, length)
    segments = {"file": spans, "policy": "given"}
    with receiver() as other:
        watch(bench, bundle, [camera], publish=other.endpoint, segments=segments, decision=ALWAYS)
    return delays(other.alerts, camera, work, bundle.card.stream.fps)


def _latencies(found: list[Delay]) -> dict[str, float]:
    over = [delay.overhead_ms for delay in found]
    return {
        "alerts": len(found),
        "p50": percentile(over, 0.5),
        "p99": percentile(over, 0.99),
        "total_p50": percentile([d.total_ms for d in found], 0.5),
        "model_p50": percentile([d.model_ms for d in found], 0.5),
    }


def latency(bench: Bench) -> dict[str, Measured]:
    """On a machine that has nothing else to do."""
    found = _latencies(_alerting(bench, 4.0 if bench.quick else 40.0, 0.5))
    return {
        "alert_latency_ms_p50": Measured(found["p50"], found),
        "alert_latency_ms_p99": Measured(found["p99"], found),
    }


def busy_latency(bench: Bench) -> dict[str, Measured]:
    """While other programs want every core."""
    with busy_cores() as spinners:
        found = _latencies(_alerting(bench, 4.0 if bench.quick else 30.0, 0.5))
    return {"alert_latency_busy_ms_p99": Measured(found["p99"], {**found, "programs": spinners})}


@dataclass(frozen=True, slots=True)
class Watched:
    """One live run with a segment every two seconds."""

    delay_ms: float
    """Median, model time and all."""
    cpu_seconds: float
    """Of the process, after the first second."""
    model_seconds: float
    """CPU of the models in that time."""
    frames: int
    """Decoded in that time."""


def _watched(bench: Bench, seconds: float, monitor: type[Monitor]) -> Watched:
    bundle, work = models.noted(bench.vit)
    camera = PacedCamera(bench.film, seconds=seconds)
    spans = spans_file(bench.folder / "spans.jsonl", seconds, models.SEGMENT_SECONDS)
    with receiver() as other:
        watch(
            bench,
            bundle,
            [camera],
            monitor=monitor,
            publish=other.endpoint,
            segments={"file": spans, "policy": "given"},
            decision=ALWAYS,
            source={"staleness_seconds": 10.0},
        )
    found = delays(other.alerts, camera, work, bundle.card.stream.fps)
    last = camera.cpu_marks[-1][0]
    begin, end = (camera.captured_ns(index / FPS) for index in (SETTLED, last))
    return Watched(
        statistics.median(delay.total_ms for delay in found),
        camera.cpu_seconds(SETTLED, last),
        work.cpu_between(begin, end),
        last - SETTLED,
    )


def _decoding_cpu(bench: Bench, seconds: float) -> float:
    """CPU seconds a frame of decoding at the same pace, and nothing else."""
    with PacedCamera(bench.film, seconds=seconds) as camera:
        while camera.read() is not None:
            pass
        last = camera.cpu_marks[-1][0]
        return camera.cpu_seconds(SETTLED, last) / (last - SETTLED)


def eager(bench: Bench) -> dict[str, Measured]:
    """Frames encoded as they come, or all at the end of the segment; and what the run costs."""
    seconds, turns = (8.0, 1) if bench.quick else (16.0, 2)
    early, late, shares = [], [], []
    for _ in range(turns):
        run = _watched(bench, seconds, Monitor)
        decoding = _decoding_cpu(bench, seconds / 2)
        late.append(_watched(bench, seconds, BatchingMonitor).delay_ms)
        early.append(run.delay_ms)
        shares.append(run.cpu_seconds / (run.model_seconds + run.frames * decoding))
    eager_ms, batch_ms = statistics.median(early), statistics.median(late)
    return {
        "eager_over_batch_latency": Measured(
            eager_ms / batch_ms, {"eager_ms": eager_ms, "batch_ms": batch_ms}
        ),
        "live_cpu_over_floor": Measured(statistics.median(shares), {"runs": shares}),
    }


def idle(bench: Bench) -> dict[str, Measured]:
    """A monitor whose models cost nothing, and bare decoding at the same pace, in turn."""
    seconds, turns = (4.0, 1) if bench.quick else (10.0, 2)
    ours, bare = [], []
    for _ in range(turns):
        camera = PacedCamera(bench.film, seconds=seconds)
        watch(bench, models.free(bench.vit), [camera])
        last = camera.cpu_marks[-1][0]
        ours.append(camera.cpu_seconds(SETTLED, last) / (last - SETTLED))
        bare.append(_decoding_cpu(bench, seconds))
    watched, decoded = statistics.median(ours), statistics.median(bare)
    detail = {"ms_a_frame": watched * 1e3, "decoding_ms_a_frame": decoded * 1e3}
    return {"idle_over_decode": Measured(watched / decoded, detail)}
