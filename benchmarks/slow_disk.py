"""A live run on a disk where each write and each fsync takes two seconds.

Store, clips, `--out`, a file sink and the log lie in one folder; a library that is loaded first
makes each write(2) and fsync(2) to it slow, from the second second on. Needs gcc and ffmpeg. Prints
the longest wait between heartbeats, and how much later than usual a segment was told.

python benchmarks/slow_disk.py [--milliseconds 2000]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import zmq

from egomon.fusion.messages.envelope import decode_envelope

EXAMPLE = Path(__file__).parents[1] / "examples" / "bench.mp4"
PUBLISH = "tcp://127.0.0.1:18801"
SECONDS, SLOW_AFTER = 40.0, 2.0
SLOW = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static void wait_for_disk(int fd) {
    char link[64], path[512], begin[512];
    const char *folder = getenv("SLOW_FOLDER");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0 || strncmp(path, folder, strlen(folder))) return;
    snprintf(begin, sizeof begin, "%s/slow", folder);
    if (access(begin, F_OK)) return;
    long ms = atol(getenv("SLOW_MS"));
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}
#define SLOWED(type, name, parameters, arguments)           \
    type name parameters {                                  \
        static type(*real) parameters;                      \
        if (!real) real = dlsym(RTLD_NEXT, #name);          \
        wait_for_disk(fd);                                  \
        return real arguments;                              \
    }
SLOWED(ssize_t, write, (int fd, const void *b, size_t n), (fd, b, n))
SLOWED(ssize_t, pwrite64, (int fd, const void *b, size_t n, off64_t at), (fd, b, n, at))
SLOWED(ssize_t, writev, (int fd, const struct iovec *b, int n), (fd, b, n))
SLOWED(int, fsync, (int fd), (fd))
SLOWED(int, fdatasync, (int fd), (fd))
"""


def start(folder: Path, library: Path, milliseconds: int) -> subprocess.Popen[bytes]:
    camera = f"ffmpeg -loglevel quiet -re -i {EXAMPLE} -c copy -f mpegts -"
    sender = subprocess.Popen(camera.split(), stdout=subprocess.PIPE)
    command = [sys.executable, "-m", "egomon", "live", "--device", "-", "--name", "camera"]
    command += ["--pub", PUBLISH, "--control", "none", "--quiet", "--json", "--snapshot"]
    command += ["--store", f"{folder}/events.sqlite", "--record-evidence", f"{folder}/clips"]
    command += ["--out", f"{folder}/alerts.jsonl", "--sink", f"file:{folder}/session.jsonl"]
    env = {**os.environ, "LD_PRELOAD": str(library), "EGOMON_LOG": "INFO"}
    env |= {"SLOW_FOLDER": str(folder), "SLOW_MS": str(milliseconds)}
    with (folder / "log").open("w") as log:
        return subprocess.Popen(
            command, stdin=sender.stdout, stdout=subprocess.DEVNULL, stderr=log, env=env
        )


def listen(monitor: subprocess.Popen[bytes], slow: Path) -> dict[str, object]:
    """Read to the end of the run; the disk is slow from the second second until its last."""
    began, beats, alerts = 0.0, list[float](), 0
    late: list[float] = []
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.connect(PUBLISH)
        socket.subscribe(b"")
        while monitor.poll() is None:
            now = time.monotonic()
            if began and now - began > SECONDS and slow.exists():
                slow.unlink()
                monitor.send_signal(signal.SIGTERM)
            if not socket.poll(100):
                continue
            envelope, now = decode_envelope(socket.recv_multipart()[1]), time.monotonic()
            began = began or now
            if now - began > SECONDS:
                continue
            if now - began > SLOW_AFTER and not slow.exists():
                slow.touch()
            kind, data = envelope.type.split(".")[1], json.loads(bytes(envelope.data))
            if kind == "heartbeat":
                beats.append(now)
            elif kind == "segment":
                late.append(now - data["segment"]["media_end"])
            alerts += kind == "alert"
    return {
        "heartbeat_gap_s": max(b - a for a, b in itertools.pairwise(beats)),
        "segment_later_s": max(late) - statistics.median(late),
        "segments": len(late),
        "alert_messages": alerts,
        "exit_code": monitor.returncode,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--milliseconds", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        library, source = Path(scratch, "slow.so"), Path(scratch, "slow.c")
        folder = Path(scratch, "disk")
        folder.mkdir()
        source.write_text(SLOW)
        build = ["gcc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"]
        subprocess.run(build, check=True)
        print(json.dumps(listen(start(folder, library, options.milliseconds), folder / "slow")))


if __name__ == "__main__":
    main()
