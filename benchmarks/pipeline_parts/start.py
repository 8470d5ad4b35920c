"""How long the command takes to be there: its help, and its first scored segment."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time

import zmq

from pipeline_parts.bench import EXAMPLE, Bench
from pipeline_parts.figures import Measured

LONGEST_SECONDS = 120


def help_(bench: Bench) -> dict[str, Measured]:
    """Both commands in turn."""
    bare, ours = [], []
    for _ in range(2 if bench.quick else 7):
        bare.append(_seconds([sys.executable, "-c", "pass"]))
        ours.append(_seconds([sys.executable, "-m", "egomon", "--help"]))
    python, whole = statistics.median(bare), statistics.median(ours)
    detail = {"help_seconds": whole, "python_seconds": python}
    return {"help_seconds_over_python": Measured(whole - python, detail)}


def _seconds(command: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=LONGEST_SECONDS)
    return time.perf_counter() - begin


def start(bench: Bench) -> dict[str, Measured]:
    """A replay of the example until its first segment is published, and `import torch` alone."""
    torch_alone, first = [], []
    for _ in range(1 if bench.quick else 4):
        torch_alone.append(_seconds([sys.executable, "-c", "import torch"]))
        first.append(_first_segment(bench))
    alone, ours = statistics.median(torch_alone), statistics.median(first)
    detail = {"first_segment_seconds": ours, "import_torch_seconds": alone}
    return {"start_over_import_torch": Measured(ours / alone, detail)}


def _first_segment(bench: Bench) -> float:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    context = zmq.Context()
    events = context.socket(zmq.SUB)
    events.setsockopt(zmq.RECONNECT_IVL, 10)
    events.subscribe(b"egomon/1/work/segment/")
    events.connect(endpoint)
    command = [sys.executable, "-m", "egomon", "replay", str(EXAMPLE), "--name", "work"]
    begin = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--quiet", "--pub", endpoint, "--store", "none"],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "XDG_DATA_HOME": str(bench.folder)},
    )
    try:
        if not events.poll(LONGEST_SECONDS * 1000):
            raise RuntimeError("no segment was published")
        return time.perf_counter() - begin
    finally:
        process.kill()
        process.wait()
        context.destroy(linger=0)
