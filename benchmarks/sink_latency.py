"""Latency of an alert at a subscriber, without a sink and beside one that takes each alert.

python benchmarks/sink_latency.py [--alerts 2000] [--rate 1000] [--rounds 9] [--json]

From before the alert is numbered until another process has received it, store included. In each
round every sink has its turn, each beside an equal run without one; a ratio is that of the two, and
the median of the rounds is told. The far side of each sink is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO

import msgspec
from wire import alert

from egomon.fusion.event_publisher import EventPublisher
from egomon.fusion.sinks.sink import SinkContext
from egomon.fusion.sinks.sinks import Sinks
from egomon.fusion.store.events import EventStore
from egomon.fusion.transport.server import EventServer

HERE = Path(__file__).parent
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Run:
    """Alerts of one run."""

    p99_ms: float
    p50_ms: float
    lost: int
    """By the sink."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Quiet."""


def receive_posts() -> None:
    """Body of the child process that is the far side of the webhook."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()


@contextmanager
def child(*command: str, quiet: bool = False) -> Iterator[subprocess.Popen[str]]:
    """A process with pipes, ended behind the block."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if quiet else None,
        text=True,
        cwd=HERE,
    )
    with process:
        try:
            yield process
        finally:
            process.terminate()


@contextmanager
def far_sides(folder: Path) -> Iterator[dict[str, str | None]]:
    """Reference of each sink by its name; None = no sink."""
    found: dict[str, str | None] = {"none": None, "file": f"file:{folder / 'alerts.jsonl'}"}
    with child(sys.executable, __file__, "--receive") as receiver:
        found["http"] = f"http://127.0.0.1:{line_of(receiver.stdout)}/"
        if MOSQUITTO is None:
            print("mqtt is left out: there is no mosquitto here", file=sys.stderr)
            yield found
            return
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with child(MOSQUITTO, "-p", str(port), quiet=True):
            await_port(port)
            found["mqtt"] = f"mqtt://127.0.0.1:{port}/bench#kinds=alert"
            yield found


def line_of(stream: IO[str] | None) -> str:
    """The next line."""
    assert stream is not None
    return stream.readline().strip()


def await_port(port: int) -> None:
    """Until something listens there."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")


def run(reference: str | None, folder: Path, alerts: int, rate: float) -> Run:
    """Publish alerts at a steady rate and ask the subscriber when each came."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        path = Path(own) / "events.sqlite"
        uris = [] if reference is None else [reference]
        with (
            EventServer(["tcp://127.0.0.1:*"], None, host="bench", boot="bench") as bus,
            EventStore(path) as store,
            child(sys.executable, "-m", "pipeline_parts.receiver", bus.endpoints[0]) as reader,
        ):
            store.begin(boot="bench", sources=["cam0"], started_wall_ns=time.time_ns())
            line_of(reader.stdout)
            deadline = time.monotonic() + START_SECONDS
            while not bus.subscriptions and time.monotonic() < deadline:
                bus.serve()
                time.sleep(0.01)
            with Sinks(uris, SinkContext(("cam0",), "bench"), wait=False, store=path) as sinks:
                publisher = EventPublisher(bus, store, sinks=sinks.put)
                time.sleep(0.5)
                begin = time.monotonic()
                for number in range(alerts):
                    time.sleep(max(0.0, begin + number / rate - time.monotonic()))
                    data = alert(number)
                    sent = time.monotonic()  # what the receiver gives back with its own time
                    segment = msgspec.structs.replace(data.segment, media_end=sent)
                    publisher.emit("cam0", msgspec.structs.replace(data, segment=segment))
                time.sleep(0.5)
            told, _ = reader.communicate("", timeout=START_SECONDS)
    took = sorted(now / 1e6 - 1e3 * sent for now, _, sent in json.loads(told))
    if len(took) != alerts:
        raise RuntimeError(f"the subscriber got {len(took)} of {alerts} alerts")
    return Run(took[alerts * 99 // 100], took[alerts // 2], sinks.lost)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alerts", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=1000.0, help="alerts a second")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--receive", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.receive:
        receive_posts()
        return
    found: dict[str, list[tuple[Run, Run]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with far_sides(folder) as sinks:
            for number in range(given.rounds):
                for name, reference in sinks.items():
                    order = [None, reference] if number % 2 else [reference, None]
                    pair = [run(each, folder, given.alerts, given.rate) for each in order]
                    beside, alone = pair[::-1] if number % 2 else pair
                    found.setdefault(name, []).append((beside, alone))
    rows = {name: row(pairs) for name, pairs in found.items()}
    if given.json:
        print(json.dumps(rows))
        return
    print(f"{given.alerts} alerts at {given.rate:g}/s, {given.rounds} rounds")
    print("sink   p99 beside  p99 without  ratio (median; middle half)   p50 ratio  lost")
    for name, r in rows.items():
        print(
            f"{name:5}  {r['p99_ms']:7.2f} ms  {r['p99_ms_without']:8.2f} ms  "
            f"{r['p99_ratio']:.2f} ({r['low']:.2f} to {r['high']:.2f})"
            f"{r['p50_ratio']:21.2f}  {r['lost']:4.0f}"
        )


def row(pairs: list[tuple[Run, Run]]) -> dict[str, float]:
    """Medians of the rounds of one sink."""
    ratios = sorted(beside.p99_ms / alone.p99_ms for beside, alone in pairs)
    return {
        "p99_ms": statistics.median(beside.p99_ms for beside, _ in pairs),
        "p99_ms_without": statistics.median(alone.p99_ms for _, alone in pairs),
        "p99_ratio": statistics.median(ratios),
        "low": ratios[len(ratios) // 4],
        "high": ratios[-1 - len(ratios) // 4],
        "p50_ratio": statistics.median(b.p50_ms / a.p50_ms for b, a in pairs),
        "lost": max(beside.lost for beside, _ in pairs),
    }


if __name__ == "__main__":
    main()
