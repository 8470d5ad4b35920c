"""One server, many monitors: answered in time, expired, alert latency.

```
python benchmarks/large_endpoint.py --monitors 1 4 16 64 --service-seconds 0.1 --slots 8
```

Each simulated monitor flags a segment every `--every` seconds and runs what a live one runs: queue,
deadline, breaker, calls over HTTP. The server is the stub of `tools`, of which `--slots` requests
run at a time, each for the service time.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `tools`, which is not in the package

from tools.vllm_stub import VllmStub

from egomon.branches.bundle.card import DecisionCard, LargeEncoderCard
from egomon.branches.interfaces import BranchScore, Float32
from egomon.branches.remote.branch import EndpointBranch
from egomon.branches.remote.client import LargeEndpoint
from egomon.branches.segment_scorer import ScoredSegment
from egomon.fusion.alert_engine import AlertEngine, LargeBranchAccess
from egomon.fusion.circuit_breaker import CircuitBreaker
from egomon.fusion.decision import CallBudget, Decider
from egomon.fusion.large_branch_queue import LargeBranchQueue, LargeBranchResult, run_refiner
from egomon.fusion.lifecycle import AlertLifecycle, AlertOrigin
from egomon.fusion.messages.types import AlertData, SegmentData
from egomon.stream.channel import Channel
from egomon.stream.frame import Frame, Segment
from egomon.stream.worker import Worker

CARD = LargeEncoderCard(weights="bundle", frames=16, frame_px=128, max_tokens=128, dim=8)
POLL_SECONDS = 0.01
VECTOR = [1.0] + [0.0] * 7


class _Head:
    def logits(self, vectors: Float32) -> Float32:
        return np.tile(np.array([[-2.0, 2.0]], np.float32), (len(vectors), 1))


class _Mean:
    def fuse(self, small: BranchScore, large: BranchScore) -> tuple[Float32, Float32]:
        return (small.logits + large.logits) / 2, np.full(2, 0.5, np.float32)


class SimulatedMonitor:
    """Emit thread and large worker of one live run, on made segments."""

    def __init__(self, number: int, url: str, deadline_seconds: float, every: float) -> None:
        self._name, self._every = f"cam{number}", every
        self._phase = every * (number * 0.618 % 1.0)
        endpoint = LargeEndpoint(url)
        branch = EndpointBranch(CARD, _Head(), endpoint, np.array(VECTOR, np.float32))
        self._queue = LargeBranchQueue()
        self._results = Channel[LargeBranchResult](64)
        self.access = LargeBranchAccess(
            self._queue, CircuitBreaker(time.monotonic), deadline_seconds=deadline_seconds
        )
        self._large = Worker(
            "large", lambda _: run_refiner(lambda: branch, self._queue, self._results)
        )
        origin = AlertOrigin(source=self._name, model="m@0", demonstration=False, live=True)
        card = DecisionCard(flag_low=0.0)
        lifecycle = AlertLifecycle(
            origin, card, next_id=lambda: "a", overlapping=False, idle_close_seconds=0.0
        )
        self._engine = AlertEngine(
            Decider(card, _Mean()),
            lifecycle,
            self.access,
            emission="gated",
            budget=CallBudget(None),
        )
        self._sent: dict[int, float] = {}
        self.latency_seconds: list[float] = []
        self.stages: list[str] = []

    def run(self, seconds: float) -> None:
        """Until the time is over and every segment is judged."""
        self._large.start()
        began = time.monotonic()
        index, due = 0, began + self._phase
        while time.monotonic() < began + seconds or self._engine.pending:
            now = time.monotonic()
            if due <= now < began + seconds:
                self._take(self._engine.on_scored(self._scored(index, now)))
                index, due = index + 1, due + self._every
            result = self._results.get(POLL_SECONDS)
            if result is not None:
                self._take(self._engine.on_result(result))
            self._take(self._engine.tick())
        self._queue.close()
        self._large.join(5.0)

    def _scored(self, index: int, now: float) -> ScoredSegment:
        self._sent[index] = now
        picture = np.full((128, 128, 3), index % 256, np.uint8)
        frames = tuple(
            Frame(picture, None, index + i / 16, int(now * 1e9), 0, i, 0) for i in range(16)
        )
        times = index + np.arange(16) / 16
        segment = Segment(index, self._name, index, index + 1.0, 0, times, frames)
        logits = np.array([-1.0, 1.0], np.float32)
        score = BranchScore("small", logits, np.zeros(8, np.float32), 1.0)
        return ScoredSegment(segment, score, False, None, 0, 0, int(now * 1e9))

    def _take(self, events: list[object]) -> None:
        for event in events:
            if isinstance(event, SegmentData):
                self.latency_seconds.append(time.monotonic() - self._sent.pop(event.segment.id))
                self.stages.append(event.stage)
            elif not isinstance(event, AlertData):
                raise AssertionError(event)


def measure(monitors: int, given: argparse.Namespace) -> dict[str, object]:
    """Counts and latencies of so many monitors on one server."""
    stub = VllmStub(
        lambda frames, times: VECTOR, service_seconds=given.service_seconds, slots=given.slots
    )
    try:
        made = [SimulatedMonitor(n, stub.url, given.deadline, given.every) for n in range(monitors)]
        threads = [threading.Thread(target=m.run, args=(given.seconds,)) for m in made]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        stub.kill()
    stages = [stage for m in made for stage in m.stages]
    latency = np.array([t for m in made for t in m.latency_seconds])
    return {
        "monitors": monitors,
        "segments": len(stages),
        "in_time": sum(stage == "fused" for stage in stages),
        "small_only": sum(stage != "fused" for stage in stages),
        "breakers_opened": sum(m.access.breaker.opened > 0 for m in made),
        "latency_p50_ms": round(float(np.percentile(latency, 50)) * 1000),
        "latency_p95_ms": round(float(np.percentile(latency, 95)) * 1000),
        "latency_max_ms": round(float(latency.max()) * 1000),
    }


def main() -> None:
    """Print a line of JSON for each number of monitors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--monitors", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--service-seconds", type=float, default=0.1)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--deadline", type=float, default=3.0)
    parser.add_argument("--every", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    for monitors in given.monitors:
        print(json.dumps(measure(monitors, given)), flush=True)


if __name__ == "__main__":
    main()
