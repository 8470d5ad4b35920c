"""Eight hours by a simulated clock, as fast as the monitor can: what it holds must stay flat.

A camera of two frames a second, an alert every two minutes, metrics read, clips written, store and
clips kept for an hour and half an hour. The camera is away for one hour; the wall clock passes
midnight, steps two hours back and three forward. Models are the tests' fakes; threads, queues,
store, retention, sockets, watchdog and pages are real.

python benchmarks/soak_simulated.py [--hours 8] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter, deque
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[1]
REAL = time.monotonic
FPS = 2
UNREAD = 4
"""The camera runs ahead of the models by at most so many frames."""
AWAY_AT, BACK_AT, FORWARD_AT = 4.0, 2.0, 6.0
"""Hours."""
MOST_AHEAD_SECONDS = 8.0
"""The watchdog takes ten for a thread that is stuck."""
SAMPLE_SECONDS = 300.0
METRICS = "127.0.0.1:19465"


class SimulatedClock:
    """Takes the place of this process's clocks: real time, and what the camera adds to it."""

    def __init__(self) -> None:
        self.skipped = self.wall_steps = 0.0
        self._began, midnight = REAL(), 1_790_000_000 // 86400 * 86400
        self._wall = midnight + 20.5 * 3600 - self._began  # half past eight in the evening
        time.monotonic = self.now
        time.monotonic_ns = lambda: int(self.now() * 1e9)
        time.time = lambda: self.now() + self._wall + self.wall_steps
        time.time_ns = lambda: int(time.time() * 1e9)

    def now(self) -> float:
        """Seconds, monotonic."""
        return REAL() + self.skipped

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self.now() - self._began


CLOCK = SimulatedClock()  # before egomon is imported: many of its clocks are default arguments
sys.path += [str(ROOT / "tests"), str(ROOT / "tests" / "monitor")]

import numpy as np  # noqa: E402
from fakes import ScriptedLarge  # noqa: E402
from test_monitor import bundle  # noqa: E402

from egomon.config import load_settings  # noqa: E402
from egomon.fusion.messages.types import AlertData, Data, GapData, StatsData, StatusData  # noqa: E402
from egomon.monitor import Monitor, SourceRequest  # noqa: E402
from egomon.stream.frame import Grab, SourceInfo  # noqa: E402
from egomon.stream.source import Discontinuity, StateChange  # noqa: E402


class Camera:
    """Gives each frame when the monitor is ready for it, and moves the clock."""

    info = SourceInfo("cam", "simulated", "live", 64, 64, float(FPS), None)

    def __init__(self, hours: float, folder: Path) -> None:
        self._hours, self._folder = hours, folder
        self._pictures = [np.full((64, 64, 3), value, np.uint8) for value in (10, 250)]
        self._steps = {BACK_AT: -2 * 3600.0, FORWARD_AT: 3 * 3600.0}
        self._was_away = hours <= AWAY_AT
        self._next_sample = 0.0
        self._heard, self._heard_at = threading.Event(), CLOCK.now()
        self.given = self._epoch = 0
        self.samples: list[dict[str, float]] = []
        self.monitor: Monitor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """See `Source`."""

    def hear(self) -> None:
        """The emit thread has told its statistics: once a second by its clock."""
        self._heard_at = CLOCK.now()
        self._heard.set()

    def read(self) -> Grab | None:
        """See `Source`."""
        assert self.monitor is not None
        item = self.monitor.inputs[0]
        item.ready.wait(30)
        with item.buffer.condition:
            item.buffer.condition.wait_for(lambda: item.buffer.unread < UNREAD, timeout=5)
        hours = CLOCK.seconds / 3600
        for at in [each for each in self._steps if hours >= each]:
            CLOCK.wall_steps += self._steps.pop(at)
        if hours >= AWAY_AT and not self._was_away:
            self._be_away(item)
        if CLOCK.seconds >= self._next_sample:
            self._next_sample += SAMPLE_SECONDS
            self._sample()
        if hours >= self._hours:
            return None
        self._skip(1 / FPS)
        self.given += 1
        seconds = CLOCK.seconds
        picture = self._pictures[int(seconds / 4) % 30 == 0]
        stamps = time.monotonic_ns(), time.time_ns()
        return Grab(seconds, *stamps, self.given, self._epoch, lambda: picture)

    def _skip(self, seconds: float) -> None:
        CLOCK.skipped += seconds
        while CLOCK.now() - self._heard_at > MOST_AHEAD_SECONDS:
            self._heard.clear()
            if not self._heard.wait(5.0):
                return

    def _be_away(self, item: Any) -> None:
        self._was_away, before = True, CLOCK.seconds
        item.on_state(StateChange("reconnecting", "STREAM_TIMEOUT", "away"))
        while CLOCK.seconds - before < 3600:
            self._skip(1.0)
        self._epoch += 1
        item.on_gap(Discontinuity("reconnect", 0, before, CLOCK.seconds))
        item.on_state(StateChange("online"))

    def _sample(self) -> None:
        store, clips = self._folder / "events.sqlite", self._folder / "clips"
        with urllib.request.urlopen(f"http://{METRICS}/metrics", timeout=10) as page:
            page.read()
        self.samples.append(
            {
                "hours": CLOCK.seconds / 3600,
                "rss_mb": int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6,
                "fds": len(os.listdir("/proc/self/fd")),
                "threads": len(os.listdir("/proc/self/task")),
                "wal_kb": Path(f"{store}-wal").stat().st_size / 1e3,
                "store_kb": store.stat().st_size / 1e3,
                "clips": len([*clips.rglob("*.mp4")]),
            }
        )
        print(json.dumps(self.samples[-1]), file=sys.stderr, flush=True)


def measure(hours: float, folder: Path) -> dict[str, Any]:
    settings = load_settings(
        None,
        {
            "bus": {"publish": ("tcp://127.0.0.1:*",), "control": "tcp://127.0.0.1:*"},
            "store": {"path": str(folder / "events.sqlite"), "keep_days": 1 / 24},
            "source": {"staleness_seconds": 1e9},
            "evidence": {"snapshot": True, "folder": folder / "clips", "keep_days": 0.5 / 24},
            "metrics": {"address": METRICS},
        },
    )
    models = bundle(ScriptedLarge([3.0] * 100_000))
    models.small.seen = deque(maxlen=1)  # the fakes remember everything
    models.encoder.batches = deque(maxlen=1)
    told: Counter[str] = Counter()
    gap_seconds = 0.0

    def listen(source: str, data: Data) -> None:
        nonlocal gap_seconds
        told[type(data).__name__] += 1
        if isinstance(data, AlertData):
            told[data.phase] += 1
        elif isinstance(data, GapData):
            gap_seconds += (data.to_pts or 0.0) - (data.from_pts or 0.0)
        elif isinstance(data, StatusData) and data.error is not None:
            told[data.error.code] += 1
        elif isinstance(data, StatsData):
            camera.hear()

    camera, began = Camera(hours, folder), REAL()
    request = SourceRequest("cam", "simulated", True, camera)
    monitor = Monitor([request], settings, bundle=models, listeners=[listen])
    camera.monitor = monitor
    summary = monitor.run()
    settled = [each for each in camera.samples if each["hours"] >= hours / 8]
    held = {}
    for name in settled[0]:
        values = [each[name] for each in settled]
        slope = float(np.polyfit([each["hours"] for each in settled], values, 1)[0])
        held[name] = {"first": values[0], "last": values[-1], "most": max(values), "slope": slope}
    return {
        "held": held,
        "told": dict(told),
        "gap_seconds": gap_seconds,
        "frames_given": camera.given,
        "frames": summary.frames,
        "took_seconds": REAL() - began,
        "samples": camera.samples,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options.hours, Path(folder))
    if options.json:
        print(json.dumps(found))
        return
    for name, values in found.pop("held").items():
        print(name, {key: round(value, 2) for key, value in values.items()})
    del found["samples"]
    print(found)


if __name__ == "__main__":
    main()
