"""Does a noisy bus slow the scoring? One run, quiet and noisy spells in turn, p99 against p99.

The noise, from a process of its own at a low priority: a subscriber that never reads, 50 that
join and leave, 10,000 malformed requests, connections with wrong keys and no ZeroMQ at all. The
monitor watches a synthetic camera in real time, its bus secured with CURVE.

python benchmarks/noise.py [--quick] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from egomon.config import load_settings
from egomon.fusion.messages.types import Data, SegmentData
from egomon.fusion.transport.keys import CurveConfig, keygen
from egomon.fusion.transport.subscriber import AlertSubscriber
from egomon.monitor import Monitor, SourceRequest
from egomon.monitor.operations.process import rss_bytes

SETTLE_SECONDS = 3.0
"""After the noise has ended, before anything is counted or timed."""


class Watch:
    """Latency of each segment: its last frame captured to its message on the bus."""

    def __init__(self) -> None:
        self.quiet: list[float] = []
        self.noisy: list[float] = []
        self.into: list[float] | None = None
        self.captured: dict[int, int] = {}
        self.segments = 0

    def follow(self, monitor: Monitor) -> None:
        """Note when the last frame of each segment was captured."""
        assert monitor.pipeline is not None
        stage = monitor.pipeline.parts.engines["cam"]
        original = stage.on_scored

        def on_scored(scored: Any) -> Any:
            self.captured[scored.segment.index] = scored.capture_end_mono_ns
            return original(scored)

        stage.on_scored = on_scored  # type: ignore[method-assign]

    def on_event(self, source: str, data: Data) -> None:
        """An `EventListener`."""
        if not isinstance(data, SegmentData):
            return
        self.segments += 1
        captured = self.captured.pop(data.segment.id, None)
        if self.into is not None and captured is not None:
            self.into.append((time.monotonic_ns() - captured) / 1e6)


def holdings() -> dict[str, int]:
    """What this process holds at the moment."""
    return {
        "threads": threading.active_count(),
        "files": len(os.listdir("/proc/self/fd")),
        "rss_mb": rss_bytes() >> 20,
    }


def free_endpoints() -> tuple[str, str]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return tuple(f"tcp://127.0.0.1:{each.getsockname()[1]}" for each in (one, two))  # type: ignore[return-value]


def measure(spells: int, seconds: float, folder: Path) -> dict[str, Any]:
    publish, control = free_endpoints()
    keys = folder / "keys"
    keygen(keys)
    settings = load_settings(
        None,
        {
            "bus": {"publish": (publish,), "control": control, "curve": keys},
            "store": {"path": str(folder / "events.sqlite")},
            "model": {"threads": 1},
            "segments": {"policy": "fixed", "length_seconds": 2.0, "stride_seconds": 0.125},
        },
    )
    watch, found = Watch(), dict[str, Any]()
    request = SourceRequest.of("cam", "synthetic:realtime=1,fps=30,seconds=36000", "live")
    monitor = Monitor([request], settings, listeners=[watch.on_event])
    maker = str(Path(__file__).with_name("noise_maker.py"))
    command = [sys.executable, maker, publish, control, str(keys), str(seconds)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as noise:
        story = tell(monitor, watch, noise, spells, seconds, found)
        summary = monitor.run(lambda: next(story, None))
        assert noise.stdin is not None
        noise.stdin.close()
        noise.wait(30)
    p99 = {name: float(np.percentile(getattr(watch, name), 99)) for name in ("quiet", "noisy")}
    return {
        "segments": watch.segments,
        "timed": {"quiet": len(watch.quiet), "noisy": len(watch.noisy)},
        "p50_ms": {n: float(np.median(getattr(watch, n))) for n in ("quiet", "noisy")},
        "p99_ms": p99,
        "p99_ratio": p99["noisy"] / p99["quiet"],
        "frames": summary.frames,
        "stopped_by": summary.stopped_by,
        **found,
    }


def tell(
    monitor: Monitor,
    watch: Watch,
    noise: subprocess.Popen[str],
    spells: int,
    seconds: float,
    found: dict[str, Any],
) -> Any:
    """The main thread's part, tick by tick: quiet and noisy spells in turn, then the counting."""
    assert noise.stdin is not None
    assert noise.stdout is not None
    yield from until(lambda: watch.segments > 0)
    watch.follow(monitor)
    yield from for_seconds(SETTLE_SECONDS)
    found["before"] = holdings()
    for _ in range(spells):
        watch.into = watch.quiet
        yield from for_seconds(seconds)
        watch.into = watch.noisy
        noise.stdin.write("go\n")
        noise.stdin.flush()
        lines: list[str] = []
        reader = threading.Thread(target=lambda out=lines: out.append(noise.stdout.readline()))  # type: ignore[misc, union-attr]
        reader.start()
        yield from for_seconds(seconds)
        watch.into = None
        yield from until(lambda r=reader: not r.is_alive())  # type: ignore[misc]
        reader.join()
        found["noise"] = json.loads(lines[0])
        yield from for_seconds(SETTLE_SECONDS)
    bus = monitor._settings.bus
    keys = CurveConfig.client(bus.curve or "")
    with AlertSubscriber(bus.publish[0], control=bus.control, curve=keys) as friend:
        found["still_answers"] = bool(friend.request("hello"))
    yield from for_seconds(1.0)
    found["after"] = holdings()
    found["auth_failures"] = monitor._services._bus.auth_failures  # type: ignore[union-attr]
    monitor.stop("duration")


def until(true: Any) -> Any:
    while not true():
        yield


def for_seconds(seconds: float) -> Any:
    end = time.monotonic() + seconds
    yield from until(lambda: time.monotonic() >= end)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="One short spell: facts, no figures.")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    spells, seconds = (1, 5.0) if options.quick else (4, 20.0)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(spells, seconds, Path(folder))
    if options.json:
        print(json.dumps(found))
        return
    print(f"p99 quiet {found['p99_ms']['quiet']:.1f} ms, noisy {found['p99_ms']['noisy']:.1f} ms")
    print(f"ratio {found['p99_ratio']:.3f} over {found['timed']} segments")
    print(f"noise: {found['noise']}; held before {found['before']}, after {found['after']}")


if __name__ == "__main__":
    main()
