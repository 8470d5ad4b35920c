"""Memory of `egomon live` over hundreds of lost connections of three cameras.

Each camera (MPEG-TS over TCP) hangs up after two seconds and is there again at once; the monitor
does not pause before it connects again. One line of JSON each 50 connections: resident memory, what
the C library has handed out and holds, files, threads.

python benchmarks/reconnects.py [--connections 400] [--keep] [--arenas 2]

--keep: leave free memory to the C library, as before it was given back after each connection.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from unittest.mock import patch

ROOT = Path(__file__).parents[1]
CAMERAS = 3
M_ARENA_MAX = -8  # of glibc's mallopt
SETTINGS = "[model]\nmost_fps = 5\nthreads = 1\n"
SERVER = """
import sys
sys.path[:0] = sys.argv[1:]
from videos import TcpServer, mpegts_packets
pieces = mpegts_packets(100)
servers = [TcpServer(pieces, head=10, after=70 + n, once=False) for n in range(3)]
print(*(each.port for each in servers), flush=True)
sys.stdin.read()
"""


def holds(libc: ctypes.CDLL) -> dict[str, float]:
    """Resident memory, malloc's own account of all its arenas, files and threads."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    libc.open_memstream.restype = ctypes.c_void_p
    text, size = ctypes.c_char_p(), ctypes.c_size_t()
    stream = ctypes.c_void_p(libc.open_memstream(ctypes.byref(text), ctypes.byref(size)))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    told = ctypes.string_at(text, size.value).decode()
    libc.free(text)
    total = told[told.rindex("</heap>") :]  # behind the arenas, their sum
    free = sum(int(n) for n in re.findall(r'type="(?:fast|rest)" count="\d+" size="(\d+)"', total))
    held = int(re.findall(r'system type="current" size="(\d+)"', total)[0])
    return {
        "rss_mb": pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        "in_use_mb": (held - free) / 1e6,
        "held_mb": held / 1e6,
        "arenas": told.count("<heap "),
        "fds": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
    }


def watch(libc: ctypes.CDLL, opened: list[float], connections: int) -> None:
    """Print a line each 50 connections, then end the monitor."""
    due = 50
    while due <= connections:
        time.sleep(0.1)
        if len(opened) >= due:
            line = {"connections": len(opened), "seconds": opened[-1] - opened[0], **holds(libc)}
            print(json.dumps({k: round(v, 1) for k, v in line.items()}), file=sys.stderr)
            due += 50
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=400)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--arenas", type=int, help="M_ARENA_MAX of glibc")
    options = parser.parse_args()
    libc = ctypes.CDLL(None)
    if options.arenas:
        libc.mallopt(M_ARENA_MAX, options.arenas)

    from egomon.cli import main as egomon
    from egomon.stream import backoff
    from egomon.stream.sources.network import reconnecting

    backoff.FIRST_SECONDS = backoff.LONGEST_SECONDS = 0.05
    if options.keep:
        reconnecting.give_back_memory = lambda: None
    opened: list[float] = []
    connect = reconnecting.Reconnecting._open

    def count(source: reconnecting.Reconnecting) -> None:
        connect(source)
        opened.append(time.monotonic())

    folders = [str(ROOT / "tests"), str(ROOT / "tests" / "stream")]
    with (
        patch.object(reconnecting.Reconnecting, "_open", count),
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, "-c", SERVER, *folders],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as cameras,
    ):
        assert cameras.stdout is not None
        settings = Path(folder, "egomon.toml")
        settings.write_text(SETTINGS)
        command = ["live", "--quiet", "--config", str(settings), "--record-evidence", folder]
        for number, port in enumerate(cameras.stdout.readline().split()):
            command += ["--device", f"tcp://127.0.0.1:{port}", "--name", f"camera{number}"]
        command += ["--pub", "tcp://127.0.0.1:*", "--control", "none"]
        sys.argv = ["egomon", *command, "--store", str(Path(folder, "events.sqlite"))]
        os.environ["EGOMON_LOG"] = "ERROR"
        arguments = (libc, opened, options.connections)
        threading.Thread(target=watch, args=arguments, daemon=True).start()
        try:
            egomon()
        finally:
            cameras.kill()


if __name__ == "__main__":
    main()
