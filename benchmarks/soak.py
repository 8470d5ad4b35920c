"""Half an hour of everything at once: three cameras that are cut, browsers, metrics, retention.

RTSP (GStreamer's server), a phone's place (WHIP by aiortc) and RTMP (FFmpeg plays the example in a
loop, so that alerts come) are each cut five times: killed, held as by a network that drops all,
ended in order. Three pages of Chromium show the live page, the metrics are read each second, clips
are written, and store and clips are kept so shortly that retention deletes.

python benchmarks/soak.py [--minutes 30] [--folder DIR] [--json]
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from soak_parts.cameras import CUT_KINDS, ROOT, Camera
from soak_parts.watcher import Watcher

CUTS = 5
FPS = {"rtsp": 15, "phone": 15, "rtmp": 16}
RTSP_PORT, RTMP_PORT = 18654, 11936
PUBLISH, CONTROL = "tcp://127.0.0.1:15556", "tcp://127.0.0.1:15557"
METRICS, VIEW = "127.0.0.1:19464", "127.0.0.1:18765"
KEY = "SoakKey12345678"
PASSWORD = "p#ss/w@rd"  # of tests/stream/gst_server.py
SETTINGS = """
[model]
most_fps = 5
threads = 1
[store]
max_mb = 1
keep_days = 0.00347  # 5 minutes
[evidence]
max_mb = 1
keep_days = 0.00208  # 3 minutes
"""
HELD = ("rss_mb", "fds", "threads", "wal_kb", "store_kb", "events", "clips", "clips_kb")


def start_monitor(folder: Path) -> tuple[subprocess.Popen[str], list[str]]:
    """The monitor, and the lines that it says, which grow."""
    (folder / "egomon.toml").write_text(SETTINGS)
    command = [sys.executable, "-m", "egomon", "live", "--wait-source", "--quiet", "--json"]
    for name, device in {
        "rtsp": f"rtsp://admin:{quote(PASSWORD, safe='')}@127.0.0.1:{RTSP_PORT}/rare",
        "phone": "phone://127.0.0.1:0",
        "rtmp": f"rtmp+listen://127.0.0.1:{RTMP_PORT}/{KEY}",
    }.items():
        command += ["--device", device, "--name", name]
    command += ["--config", str(folder / "egomon.toml"), "--pub", PUBLISH, "--control", CONTROL]
    command += ["--store", str(folder / "events.sqlite"), "--metrics", METRICS]
    command += ["--view-address", VIEW, "--record-evidence", str(folder / "clips"), "--snapshot"]
    monitor = subprocess.Popen(
        command,
        stdout=(folder / "summary.json").open("w"),
        stderr=subprocess.PIPE,
        text=True,
    )
    told: list[str] = []

    def read() -> None:
        with (folder / "log.txt").open("w") as log:
            for line in monitor.stderr or ():
                told.append(line)
                log.write(line)
                log.flush()

    threading.Thread(target=read, daemon=True).start()
    return monitor, told


def start_cameras(told: list[str]) -> dict[str, Camera]:
    wait_for(lambda: any("bearer token" in line for line in told))
    whip = re.search(r"WHIP (\S+) with bearer token (\S+)", "".join(told))
    assert whip is not None
    python = next(each for each in ("/usr/bin/python3", sys.executable) if Path(each).exists())
    ffmpeg = "ffmpeg -loglevel error -re -stream_loop -1 -i examples/bench.mp4 -c copy -f flv"
    sender = str(ROOT / "benchmarks" / "soak_parts" / "cameras.py")
    return {
        "rtsp": Camera([python, str(ROOT / "tests/stream/gst_server.py"), str(RTSP_PORT)]),
        "phone": Camera([sys.executable, sender, *whip.groups()]),
        "rtmp": Camera([*ffmpeg.split(), f"rtmp://127.0.0.1:{RTMP_PORT}/live/{KEY}"]),
    }


def start_browsers(folder: Path) -> list[Camera]:
    flags = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage"
    command = ["chromium", *flags.split(), "--remote-debugging-port=0", f"http://{VIEW}/"]
    return [Camera([*command, f"--user-data-dir={folder}/browser{n}"]) for n in range(3)]


def cut_all(cameras: Mapping[str, Camera], seconds: float, cuts: list[dict[str, Any]]) -> None:
    """Each camera five times, one after the other, away for 4 to 16 s."""
    began = time.monotonic()
    order = list(itertools.product(range(CUTS), cameras))
    for number, (turn, name) in enumerate(order):
        at = began + seconds * (number + 1) / (len(order) + 1)
        time.sleep(max(0.0, at - time.monotonic()))
        kind, away = CUT_KINDS[(turn + number) % len(CUT_KINDS)], 4.0 + 3.0 * turn
        off = time.time()
        cameras[name].cut(kind, away)
        cuts.append({"source": name, "kind": kind, "off": off, "on": off + away})
        print(cuts[-1], file=sys.stderr, flush=True)


def measure(minutes: float, folder: Path) -> dict[str, Any]:
    monitor, told = start_monitor(folder)
    running: list[Camera] = []
    watcher: Watcher | None = None
    try:
        cameras = start_cameras(told)
        running += [*cameras.values(), *start_browsers(folder)]
        watcher = Watcher(monitor.pid, folder, publish=PUBLISH, control=CONTROL, metrics=METRICS)
        frames = watcher.frames
        wait_for(lambda: len(frames) == len(FPS) and all(n for _, n in frames.values()))
        first, began, cuts = dict(frames), time.monotonic(), list[dict[str, Any]]()
        cutter = threading.Thread(target=cut_all, args=(cameras, minutes * 60 - 60, cuts))
        cutter.start()
        while time.monotonic() - began < minutes * 60:
            time.sleep(10.0)
            watcher.sample()
            print(json.dumps(watcher.samples[-1]), file=sys.stderr, flush=True)
        last = dict(frames)
        cutter.join()
        watcher.sample()
    finally:
        if watcher is not None:
            watcher.close()
        monitor.send_signal(signal.SIGTERM)
        monitor.wait(60)
        for each in running:
            each.end(signal.SIGKILL)
    return {
        "minutes": minutes,
        "sources": {n: account(n, first[n], last[n], watcher, cuts) for n in FPS},
        "held": holdings(watcher.samples),
        "worst_seconds": watcher.worst,
        "counts": watcher.counts,
        "exit_code": monitor.returncode,
        "samples": watcher.samples,
    }


def account(
    name: str,
    first: tuple[float, int],
    last: tuple[float, int],
    watcher: Watcher,
    cuts: list[dict[str, Any]],
) -> dict[str, Any]:
    """Cuts beside the gaps told, and frames that came beside frames expected."""
    every = [each[1:] for each in watcher.gaps if each[0] == name]
    gaps = [(at, seconds) for cause, at, seconds in every if cause == "reconnect"]
    online = [at for source, at in watcher.online if source == name]
    own = [cut for cut in cuts if cut["source"] == name]
    ends = [*(cut["off"] for cut in own[1:]), float("inf")]
    for cut, end in zip(own, ends, strict=True):
        back = [at for at in online if cut["on"] - 0.5 < at < end]
        cut["back_after_s"] = back[0] - cut["on"] if back else None
        cut["gap_s"] = [seconds for at, seconds in gaps if cut["off"] < at < end]
    told = sum(seconds for _, seconds in gaps)
    return {
        "cuts": own,
        "gaps": len(gaps),
        "other_gaps": [(cause, seconds) for cause, _, seconds in every if cause != "reconnect"],
        "gap_seconds": told,
        "frames": last[1] - first[1],
        "frames_expected": FPS[name] * (last[0] - first[0] - told),
    }


def holdings(samples: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """First and last after a sixth of the time, least and most, growth in an hour."""
    settled = samples[len(samples) // 6 :]
    hours = [each["t"] / 3600 for each in settled]
    found = {}
    for name in HELD:
        values = [each[name] for each in settled]
        found[name] = {
            "first": values[0],
            "last": values[-1],
            "least": min(values),
            "most": max(values),
            "per_hour": float(np.polyfit(np.array(hours) - hours[0], values, 1)[0]),
        }
    spent = settled[-1]["cpu_s"] - settled[0]["cpu_s"]
    found["cores"] = {"mean": spent / (settled[-1]["t"] - settled[0]["t"])}
    return found


def wait_for(true: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise SystemExit("the monitor or a camera did not start")
        time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--folder", type=Path, help="keep store, clips and log here")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        found = measure(options.minutes, folder)
    if options.json:
        print(json.dumps(found))
        return
    for name, each in found["sources"].items():
        print(name, f"{each['gaps']} gaps, {each['gap_seconds']:.1f} s;", end=" ")
        print(f"frames {each['frames']} of {each['frames_expected']:.0f}")
        for cut in each["cuts"]:
            print("  ", cut["kind"], f"{cut['on'] - cut['off']:.1f} s;", end=" ")
            print("back after", cut["back_after_s"], "gaps", cut["gap_s"])
    for name, values in found["held"].items():
        print(name, {key: round(value, 2) for key, value in values.items()})
    print(found["worst_seconds"], found["counts"], "exit code", found["exit_code"])


if __name__ == "__main__":
    main()
