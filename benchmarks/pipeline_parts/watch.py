"""Runs a live monitor on paced cameras, with another process that receives its alerts."""

from __future__ import annotations

import gc
import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from egomon.branches.load_bundle import Bundle
from egomon.monitor import Monitor, RunSummary, SourceRequest
from egomon.monitor.pipeline import Pipeline
from pipeline_parts import models
from pipeline_parts.bench import Bench
from pipeline_parts.video import PacedCamera

Alert = tuple[int, str, float]
"""Monotonic nanoseconds at arrival, phase, media seconds at the segment's end."""


@dataclass(slots=True)
class Receiver:
    """The other process."""

    endpoint: str
    alerts: list[Alert] = field(default_factory=list)
    """Filled when it has ended."""


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A subscriber in a process of its own, on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline_parts.receiver", endpoint],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert process.stdout is not None
    process.stdout.readline()
    found = Receiver(endpoint)
    try:
        yield found
    finally:
        out, _ = process.communicate(timeout=20)
        found.alerts = [(now, phase, end) for now, phase, end in json.loads(out)]


class BatchingMonitor(Monitor):
    """Encodes only whole batches also live: what `eager` is compared with."""

    def _build(self, *args: Any, **kwargs: Any) -> Pipeline:
        built = super()._build(*args, **kwargs)
        for camera in built.cameras:
            camera.in_whole_batches = True
        return built


def watch(
    bench: Bench,
    bundle: Bundle,
    cameras: Sequence[PacedCamera],
    *,
    monitor: type[Monitor] = Monitor,
    threads: int | None = 1,
    publish: str = "tcp://127.0.0.1:*",
    **sections: dict[str, Any],
) -> RunSummary:
    """A live run until the cameras end."""
    chosen = models.settings(
        bench.folder, threads=threads, bus={"publish": (publish,), "control": "none"}, **sections
    )
    requests = [SourceRequest(c.info.name, c.info.uri, True, c) for c in cameras]
    running = monitor(requests, chosen, bundle=bundle)
    for camera, item in zip(cameras, running.inputs, strict=True):
        camera.begin = item.ready
    gc.freeze()  # as the command does it before a run: torch's modules are not gone through again
    try:
        return running.run()
    finally:
        gc.unfreeze()


def spans_file(path: Path, seconds: float, length: float) -> Path:
    """Given segments one after the other: each is judged alone, and so gives its own alert."""
    count = int(seconds / length)
    lines = [json.dumps({"start": i * length, "end": (i + 1) * length}) for i in range(count)]
    path.write_text("\n".join(lines) + "\n")
    return path


ALWAYS = {"threshold_small": 0.0, "cooldown_seconds": 0.0}
"""Every segment is an alert."""


@dataclass(frozen=True, slots=True)
class Delay:
    """One alert's way."""

    total_ms: float
    """Last frame captured to message received."""
    model_ms: float
    """Of that, models at work."""

    @property
    def overhead_ms(self) -> float:
        """Everything else."""
        return self.total_ms - self.model_ms


def delays(
    alerts: Sequence[Alert], camera: PacedCamera, work: models.Work, fps: float
) -> list[Delay]:
    """Of each new alert; the first ones, while caches are cold, do not count."""
    found = []
    for received_ns, phase, media_end in alerts:
        if phase != "new":
            continue
        captured_ns = camera.captured_ns(media_end - 1 / fps)
        model_ns = work.within_ns(captured_ns, received_ns)
        found.append(Delay((received_ns - captured_ns) / 1e6, model_ns / 1e6))
    return found[2:]
