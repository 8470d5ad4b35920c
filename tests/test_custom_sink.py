"""The example of a sink: it runs as its first lines say, and writes what they promise."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_example_sink_writes_each_alert_of_the_example_video_once(tmp_path: Path) -> None:
    out = tmp_path / "alerts.csv"
    command = [sys.executable, "examples/custom_sink.py", "examples/bench.mp4", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert all(0 <= float(row["p"]) <= 1 and row["explanation"] for row in rows)
    assert f"{len(rows)} alerts in {out}" in done.stdout
