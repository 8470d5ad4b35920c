"""How long the command takes to be there, and what it needs: memory, and a fresh installation."""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import zmq

from pipeline_parts.bench import EXAMPLE, Bench
from pipeline_parts.figures import Measured

LONGEST_SECONDS = 120
# Modules are compiled once, as an installation does it.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


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
    subprocess.run(
        command,
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=LONGEST_SECONDS,
        env=ENVIRONMENT,
    )
    return time.perf_counter() - begin


def start(bench: Bench) -> dict[str, Measured]:
    """A replay of the example until its first segment is published, and its libraries alone."""
    bare, first = [], []
    for _ in range(1 if bench.quick else 7):
        bare.append(_seconds([sys.executable, "-c", "import numpy, cv2, av"]))
        first.append(_first_segment(bench))
    alone, ours = statistics.median(bare), statistics.median(first)
    detail = {"first_segment_seconds": ours, "libraries_seconds": alone}
    return {"first_segment_over_python_start": Measured(ours / alone, detail)}


def resident(bench: Bench) -> dict[str, Measured]:
    """Most memory that a replay of the example holds, both branches running."""
    replay = ["-m", "egomon", "replay", str(EXAMPLE), "--quiet", "--json", "--store", "none"]
    # Its parent is small: the figure of a child begins at its parent's, and torch is in this one.
    parent = (
        "import resource, subprocess, sys; "
        "subprocess.run([sys.executable, *sys.argv[1:]], check=True, stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", parent, *replay],
        check=True,
        stdout=subprocess.PIPE,
        timeout=LONGEST_SECONDS,
        env={**ENVIRONMENT, "XDG_DATA_HOME": str(bench.folder)},
    )
    return {"rss_mb_running": Measured(int(done.stdout) / 1024)}  # Linux counts it in KiB


def install(bench: Bench) -> dict[str, Measured]:
    """Fresh environments with egomon alone, and with NumPy and OpenCV alone.

    The first installation of each fills pip's cache, the second is measured: what is compared is
    the work on this machine, not the network.
    """
    source = bench.folder / "source"  # a build leaves files behind, so not in the checkout
    kept = (
        "src",
        "stream",
        "branches",
        "fusion",
        "train",
        "pyproject.toml",
        "README.md",
        "LICENSE",
    )
    source.mkdir()
    for name in kept:
        path = EXAMPLE.parents[1] / name
        if path.is_dir():
            shutil.copytree(path, source / name, symlinks=True)
        else:
            shutil.copy(path, source)
    least = ["numpy", "opencv-python-headless"]
    seconds = {}
    for name, what in (("least", least), ("egomon", [str(source)])):
        for _ in range(2):
            seconds[name], size = _install(bench.folder / f"venv-{name}", what)
    detail = {"egomon_seconds": seconds["egomon"], "numpy_opencv_seconds": seconds["least"]}
    return {
        "install_mb": Measured(size),
        "install_seconds_over_numpy_opencv": Measured(seconds["egomon"] / seconds["least"], detail),
    }


def _install(folder: Path, packages: list[str]) -> tuple[float, float]:
    """Seconds that pip took, and megabytes of what it installed."""
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install"]
    seconds = _seconds([*pip, "-qq", *packages])
    size = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
    return seconds, size / 1e6


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
        env={**ENVIRONMENT, "XDG_DATA_HOME": str(bench.folder)},
    )
    try:
        if not events.poll(LONGEST_SECONDS * 1000):
            raise RuntimeError("no segment was published")
        return time.perf_counter() - begin
    finally:
        process.kill()
        process.wait()
        context.destroy(linger=0)
