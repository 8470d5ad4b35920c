"""CPU of one alert on the bus (number, store, send) and import time of the subscriber.

python benchmarks/wire.py [--alerts 3000]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from egomon.fusion.messages.types import AlertData, BranchScores, Scores, SegmentRef
from egomon.fusion.store.events import EventStore
from egomon.fusion.transport.server import EventServer

PICTURE = bytes(15_000)


def alert(number: int) -> AlertData:
    return AlertData(
        alert_id=f"a-{number}",
        rev=1,
        phase="new",
        state="confirmed",
        reason="small_score",
        explanation="The step does not look like the one expected here.",
        p=0.9,
        segment=SegmentRef(id=number, epoch=0, media_start=0.0, media_end=2.0, frames=32),
        media_opened=2.0,
        scores=Scores(small=BranchScores(p=0.9, logits=(-1.0, 1.0)), threshold=0.5, t_off=0.4),
        model="demo@0123456789ab",
    )


def alert_cpu_ms(alerts: int, folder: str) -> list[float]:
    spent = []
    with (
        EventServer(["tcp://127.0.0.1:*"], None, host="bench", boot="bench") as bus,
        EventStore(Path(folder) / "events.sqlite") as store,
    ):
        store.begin(boot="bench", sources=["cam0"], started_wall_ns=0)
        for number in range(alerts):
            data = alert(number)
            started = time.thread_time()
            prepared = bus.prepare("cam0", data)
            store.append([prepared.event])
            bus.send(prepared, [PICTURE])
            spent.append((time.thread_time() - started) * 1e3)
    return sorted(spent)


def import_cpu_ms() -> float:
    code = "import egomon, time; egomon.AlertSubscriber; print(time.process_time() * 1e3)"
    runs = [subprocess.check_output([sys.executable, "-c", code]) for _ in range(5)]
    return statistics.median(map(float, runs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alerts", type=int, default=3000)
    alerts = parser.parse_args().alerts
    with tempfile.TemporaryDirectory() as folder:
        spent = alert_cpu_ms(alerts, folder)
    print(f"alert, CPU: p50 {spent[alerts // 2]:.3f} ms, p99 {spent[alerts * 99 // 100]:.3f} ms")
    print(f"python + import egomon.AlertSubscriber, CPU: {import_cpu_ms():.0f} ms")


if __name__ == "__main__":
    main()
