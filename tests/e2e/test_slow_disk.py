"""Disks that are full or stand still under what a run writes beside its messages."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

from command import Run

ALERTING = ("--threshold", "0.0", "--policy", "fixed", "--length", "2", "--stride", "1")


def full_pipe() -> tuple[int, int]:
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(write, b"-" * 1024):
            pass
    os.set_blocking(write, True)
    return read, write


def test_a_full_disk_under_the_alerts_of_a_replay_is_one_sentence(
    egomon: Run, tiny_bundle: Path, video: Path
) -> None:
    done = egomon("replay", video, "--model", tiny_bundle, "--out", "/dev/full", *ALERTING)
    assert done.returncode == 2
    said = "egomon: cannot write alerts to /dev/full: No space left on device\n"
    assert done.stderr.endswith(said)
    assert "Traceback" not in done.stderr


def test_a_live_run_goes_on_while_its_file_and_its_stderr_stand_still(
    tiny_bundle: Path, video: Path, tmp_path: Path
) -> None:
    (_, log), (_, out) = full_pipe(), full_pipe()
    command = [sys.executable, "-m", "egomon", "live", "--device", video, "--model", tiny_bundle]
    command += ["--out", f"/dev/fd/{out}", "--store", "none", "--control", "none"]
    command += ["--pub", "tcp://127.0.0.1:*", "--duration", "4s", *ALERTING]
    done = subprocess.run(
        [*map(str, command)],
        stdout=subprocess.PIPE,
        stderr=log,
        pass_fds=[out],
        env={**os.environ, "EGOMON_LOG": "INFO", "XDG_CONFIG_HOME": str(tmp_path)},
        cwd=tmp_path,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0
    summary = re.search(rb"segments: (\d+); alerts: (\d+)", done.stdout)
    assert summary is not None
    assert int(summary[1]) > 0
    assert int(summary[2]) > 0
