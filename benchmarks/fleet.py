"""Six processes on one machine, each killed in turn: broker, server, three monitors, listener.

```
python benchmarks/fleet.py --folder /tmp/fleet
```

Cameras are rendered bench work, sent in real time as Motion JPEG. Prints what `egomon fleet` shows
after each step, and at the end the events of the stores beside those that were heard. Needs the
program mosquitto.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import cv2

from egomon.train.simulator import simulate

ROOT = Path(__file__).parents[1]
SITES = ("north", "east", "south")
KINDS = ("alert", "segment", "status", "gap")
FPS = 8.0


class Camera(BaseHTTPRequestHandler):
    """The video again and again, at its own pace."""

    pictures: list[bytes]

    def do_GET(self) -> None:
        """Motion JPEG until the client is gone."""
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        due = time.monotonic()
        try:
            while True:
                for picture in self.pictures:
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}"
                    self.wfile.write(head.encode() + b"\r\n\r\n" + picture + b"\r\n")
                    due += 1 / FPS
                    time.sleep(max(0.0, due - time.monotonic()))
        except OSError:
            return

    def log_message(self, *args: object) -> None:
        """Quiet."""


class Bench:
    """The processes, by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.commands: dict[str, list[str]] = {}
        self.began = time.monotonic()

    def start(self, name: str, *command: str) -> None:
        """Start a process, or the one of this name again."""
        self.commands[name] = list(command) or self.commands[name]
        log = (self.folder / f"{name}.log").open("ab")
        self.running[name] = subprocess.Popen(self.commands[name], stdout=log, stderr=log, cwd=ROOT)
        self.say(f"start {name}")

    def end(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal and wait."""
        self.running[name].send_signal(number)
        self.running[name].wait(60)
        self.say(f"{'kill' if number == signal.SIGKILL else 'end'} {name}")

    def say(self, text: str) -> None:
        """Print with the time since the start."""
        print(f"[{time.monotonic() - self.began:5.1f} s] {text}", flush=True)


def egomon(*arguments: str) -> list[str]:
    """A command line."""
    return [sys.executable, "-m", "egomon", *arguments]


def free_port() -> int:
    """A port of loopback."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def pictures(folder: Path) -> list[bytes]:
    """Rendered work as JPEGs."""
    simulate(folder / "video", 3, 0.5, size_px=192, fps=FPS, mistake_rate=0.8)
    with av.open(str(next((folder / "video").glob("*.mp4")))) as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    return [cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames]


def fleet(bench: Bench, broker: str) -> list[dict[str, object]]:
    """Rows of `egomon fleet`, also printed."""
    run = subprocess.run(
        egomon("fleet", broker, "--json"), capture_output=True, text=True, check=False, cwd=ROOT
    )
    if run.returncode:
        bench.say(run.stderr.strip())
        return []
    rows: list[dict[str, object]] = json.loads(run.stdout)
    for row in rows:
        degraded = ", degraded" if row["degraded"] else ""
        bench.say(f"  {row['site']:6} {row['state']}{degraded}, open alerts {row['open_alerts']}")
    return rows


def until(bench: Bench, broker: str, what: str, wanted: object, seconds: float = 120.0) -> None:
    """Ask the fleet until `wanted(rows)` holds."""
    assert callable(wanted)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        rows = fleet(bench, broker)
        if len(rows) == len(SITES) and wanted(rows):
            return bench.say(f"now {what}")
        time.sleep(3.0)
    raise SystemExit(f"never {what}")


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True)
    Camera.pictures = pictures(folder)
    camera = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    threading.Thread(target=camera.serve_forever, daemon=True).start()
    bench, port, large = Bench(folder), free_port(), free_port()
    broker, endpoint = f"mqtt://127.0.0.1:{port}", f"http://127.0.0.1:{large}/v1"
    (folder / "mosquitto.conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\nuser root\n"
        f"persistence_location {folder.absolute()}/\nautosave_on_changes true\n"
        "autosave_interval 1\nmax_queued_messages 0\n"
    )
    mosquitto = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    bench.start("broker", mosquitto, "-c", str(folder / "mosquitto.conf"))
    bench.start("server", sys.executable, "-m", "tools.vllm_stub", "--port", str(large))
    kinds = [word for kind in KINDS for word in ("--kind", kind)]
    bench.start("listener", *egomon("listen", broker, "-f", "jsonl", "--name", "all", *kinds))
    for site in SITES:
        (folder / f"{site}.toml").write_text(f'[sinks]\nsite = "{site}"\n')
        bench.start(
            site,
            *egomon("live", "-d", f"http://127.0.0.1:{camera.server_address[1]}/cam.mjpg"),
            *("--name", "cam0", "--pub", "tcp://127.0.0.1:*", "--control", "none", "--quiet"),
            *("--large-endpoint", endpoint, "--store", str(folder / f"{site}.db"), "--threads"),
            *("1", "--sink", f"{broker}#discovery=none", "--config", str(folder / f"{site}.toml")),
        )
    until(bench, broker, "all are online, none degraded", lambda rows: all(
        row["state"] == "online" and not row["degraded"] for row in rows
    ))  # fmt: skip
    bench.end("server")
    until(bench, broker, "all are degraded", lambda rows: all(row["degraded"] for row in rows))
    bench.start("server")
    until(bench, broker, "none is degraded", lambda rows: not any(r["degraded"] for r in rows))
    bench.end("broker")
    fleet(bench, broker)
    bench.start("broker")
    bench.end("north")
    until(bench, broker, "north is offline or silent", lambda rows: any(
        row["site"] == "north" and row["state"] in ("offline", "silent") for row in rows
    ))  # fmt: skip
    bench.start("north")
    until(bench, broker, "north is online", lambda rows: all(r["state"] == "online" for r in rows))
    for site in SITES:
        bench.end(site, signal.SIGTERM)
    time.sleep(5.0)
    bench.end("listener")
    compare(bench)
    for name in ("server", "broker"):
        bench.end(name)


def compare(bench: Bench) -> None:
    """Events of the stores beside those that were heard."""
    stored: Counter[tuple[str, int]] = Counter()
    for site in SITES:
        with sqlite3.connect(bench.folder / f"{site}.db") as store:
            rows = store.execute("SELECT boot, seq, kind FROM events").fetchall()
        stored.update((boot, seq) for boot, seq, kind in rows if kind in KINDS)
    heard: Counter[tuple[str, int]] = Counter()
    for line in (bench.folder / "listener.log").read_text().splitlines():
        if line.startswith("{"):
            envelope = json.loads(line)
            heard[envelope["boot"], envelope["seq"]] += 1
    bench.say(
        f"stored {len(stored)}, heard {len(heard)}, not heard {len(stored.keys() - heard.keys())}, "
        f"heard twice {sum(n > 1 for n in heard.values())}"
    )


if __name__ == "__main__":
    main()
