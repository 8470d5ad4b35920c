"""What grows with the length of a stream: the cost of a segment, and memory."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from egomon.branches.segment_scorer import ScoringModels, SegmentScorer
from egomon.stream.frame import Frame
from egomon.stream.segmenter import FixedWindows
from pipeline_parts.bench import Bench
from pipeline_parts.figures import Measured
from pipeline_parts.models import SEGMENT_SECONDS
from pipeline_parts.spent import percentile

PIXEL = np.zeros((1, 1, 3), np.uint8)
YOUNG_SECONDS, OLD_SECONDS = 60.0, 3600.0


class FedLane:
    """A scorer that is given vectors, as the encoder would give them."""

    def __init__(self, bench: Bench) -> None:
        card = bench.vit.card
        self._fps, self._dim = card.stream.fps, card.frame_encoder.dim
        segmenter = FixedWindows(
            length_seconds=SEGMENT_SECONDS,
            stride_seconds=SEGMENT_SECONDS,
            period_seconds=1 / self._fps,
        )
        self._scorer = SegmentScorer(
            "fed", ScoringModels(bench.vit.small, card.stream, self._dim), segmenter
        )
        self._vectors = np.random.default_rng(0).normal(size=(64, self._dim)).astype(np.float32)
        self._count = 0

    def grow(self, seconds: float) -> None:
        """Many frames at once, straight into the context: scoring them would take long."""
        count = round(seconds * self._fps)
        for first in range(0, count, 64):
            rows = min(64, count - first)
            times = (np.arange(rows) + self._count) / self._fps
            self._scorer.context.append(times, self._vectors[:rows])
            self._count += rows

    def segment(self) -> float:
        """CPU milliseconds of the frames of one segment and of its score."""
        rows = round(SEGMENT_SECONDS * self._fps)
        times = [(self._count + i) / self._fps for i in range(rows)]
        frames = [Frame(PIXEL, None, t, 0, 0, i, 0) for i, t in enumerate(times)]
        self._count += rows
        begin = time.thread_time()
        self._scorer.feed(frames, self._vectors[:rows])
        return (time.thread_time() - begin) * 1e3


def growth(bench: Bench) -> dict[str, Measured]:
    """A stream of one minute and one of an hour, a segment of each in turn."""
    torch.set_num_threads(1)
    young, old = FedLane(bench), FedLane(bench)
    young.grow(YOUNG_SECONDS)
    old.grow(OLD_SECONDS)
    pairs = [(young.segment(), old.segment()) for _ in range(10 if bench.quick else 60)][2:]
    first, second = (statistics.median(times) for times in zip(*pairs, strict=True))
    detail = {
        "ms_1min": first,
        "ms_1h": second,
        "ms_1h_p99": percentile([b for _, b in pairs], 0.99),
    }
    return {"segment_cost_1h_over_1min": Measured(second / first, detail)}


def memory(bench: Bench) -> dict[str, Measured]:
    """Two simulated hours of live video in a process of their own."""
    hours = 0.1 if bench.quick else 2.0
    done = subprocess.run(
        [sys.executable, "-m", "pipeline_parts.hours", str(hours), str(bench.folder)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    samples: list[tuple[float, float]] = json.loads(done.stdout)

    def at(hour: float) -> float:
        near = [mb for h, mb in samples if abs(h - hour) <= 0.01]
        return statistics.median(near) if near else samples[-1][1]

    detail = {"MiB": {f"{h:g} h": round(at(h), 1) for h in (1 / 60, 0.5, 1.0, 1.5, 2.0)}}
    return {
        "rss_mb_per_hour": Measured(at(1.0) - at(1 / 60), detail),
        "rss_mb_per_hour_after_cap": Measured(at(2.0) - at(1.0), detail),
    }
