"""Heartbeats and messages of a live run while strangers flood it.

One process pushes malformed frames as fast as they are taken. Another keeps 70 half requests each
to the metrics and to the live page, a byte every .3 s, and opens 20 event streams of a foreign web
page five times a second. Needs ffmpeg.

python benchmarks/flood.py [--seconds 25] [--quiet]

--quiet: nobody floods.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import multiprocessing
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path

import zmq

from egomon.fusion.messages.envelope import decode_envelope

EXAMPLE = Path(__file__).parents[1] / "examples" / "bench.mp4"
PUSH, PUBLISH, METRICS, VIEW = 18901, 18902, 18903, 18904
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x05READY\x0bSocket-Type" + (4).to_bytes(4, "big") + b"PUSH"
MALFORMED = bytes([1, 8]) + b"notajson" + bytes([0, 8]) + b"not jpeg"
HALF = b"GET / HTTP/1.1\r\nHost: x\r\nA"
FOREIGN = f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{VIEW}\r\nOrigin: http://evil\r\n\r\n".encode()
SETTLE_SECONDS = 3.0


def push_malformed() -> None:
    with socket.create_connection(("127.0.0.1", PUSH)) as peer:
        peer.sendall(GREETING)
        peer.recv(len(GREETING), socket.MSG_WAITALL)
        peer.sendall(bytes([4, len(READY)]) + READY)
        time.sleep(0.2)  # its READY comes first
        while True:
            peer.sendall(MALFORMED * 2000)


def drip(port: int) -> None:
    peers: list[socket.socket] = []
    while True:
        with contextlib.suppress(OSError):
            while len(peers) < 70:
                peers.append(socket.create_connection(("127.0.0.1", port)))
                peers[-1].sendall(HALF)
        for peer in [*peers]:
            try:
                peer.sendall(b"a")
            except OSError:
                peers.remove(peer)
                peer.close()
        time.sleep(0.3)


def visit() -> None:
    while True:
        with contextlib.ExitStack() as peers, contextlib.suppress(OSError):
            for _ in range(20):
                peer = peers.enter_context(socket.create_connection(("127.0.0.1", VIEW)))
                peer.sendall(FOREIGN)
            time.sleep(0.2)


def bother() -> None:
    for work in ((drip, METRICS), (drip, VIEW), (visit,)):
        threading.Thread(target=work[0], args=work[1:]).start()


def start(folder: str) -> subprocess.Popen[bytes]:
    camera = f"ffmpeg -loglevel quiet -re -stream_loop -1 -i {EXAMPLE} -c copy -f mpegts -"
    sender = subprocess.Popen(camera.split(), stdout=subprocess.PIPE)
    settings = Path(folder, "egomon.toml")
    settings.write_text("[model]\nmost_fps = 5\nthreads = 1\n")
    command = [sys.executable, "-m", "egomon", "live", "--config", str(settings), "--quiet"]
    command += ["--device", "-", "--name", "camera", "--wait-source"]
    command += ["--device", f"zmq+tcp://127.0.0.1:{PUSH}", "--name", "pushed"]
    command += ["--pub", f"tcp://127.0.0.1:{PUBLISH}", "--control", "none"]
    command += ["--metrics", f"127.0.0.1:{METRICS}", "--view-address", f"127.0.0.1:{VIEW}"]
    command += ["--store", f"{folder}/events.sqlite"]
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=sender.stdout, stdout=nowhere, stderr=nowhere)


def listen(seconds: float, others: list[multiprocessing.Process]) -> dict[str, float]:
    """Start the others once the models are loaded; what a reader sees from then on."""
    beats: dict[str, list[float]] = {}
    late, malformed, began = list[float](), 0, 0.0
    with zmq.Context() as context, context.socket(zmq.SUB) as reader:
        reader.connect(f"tcp://127.0.0.1:{PUBLISH}")
        reader.subscribe(b"")
        while not began or time.monotonic() - began < SETTLE_SECONDS + seconds:
            envelope = decode_envelope(reader.recv_multipart()[1])
            now, kind = time.monotonic(), envelope.type.split(".")[1]
            data = json.loads(bytes(envelope.data))
            if not began and kind == "stats" and data["frames"]["encoded"]:
                began = now
                for each in others:
                    each.start()
            if not began or now - began < SETTLE_SECONDS:
                continue
            if kind == "heartbeat":
                beats.setdefault(envelope.source, []).append(now)
            elif kind == "gap":
                malformed += data["count"]
            elif kind in ("segment", "alert"):
                late.append(time.time() - datetime.fromisoformat(envelope.time).timestamp())
    gaps = [b - a for each in beats.values() for a, b in itertools.pairwise(each)]
    return {
        "heartbeat_gap_s": max(gaps),
        "heartbeat_gap_mean_s": statistics.mean(gaps),
        "message_late_s": max(late),
        "messages": len(late),
        "malformed": malformed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=25.0)
    parser.add_argument("--quiet", action="store_true")
    options = parser.parse_args()
    processes = multiprocessing.get_context("spawn")
    flood = [] if options.quiet else [processes.Process(target=f) for f in (push_malformed, bother)]
    with tempfile.TemporaryDirectory() as folder:
        monitor = start(folder)
        try:
            found = listen(options.seconds, flood)  # type: ignore[arg-type]
            times = Path(f"/proc/{monitor.pid}/stat").read_text().rsplit(")", 1)[1].split()
            found["cpu_s"] = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
        finally:
            for each in flood:
                each.kill()
            monitor.send_signal(signal.SIGTERM)
            monitor.wait(30)
    print(json.dumps({name: round(value, 3) for name, value in found.items()}))


if __name__ == "__main__":
    main()
