"""`egomon live --view`: the page is up while the run lasts, and a verdict reaches the store."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from egomon.fusion.store.events import EventStore

pytest.importorskip("uvicorn")
VIDEO = Path(__file__).resolve().parents[2] / "examples" / "bench.mp4"


def test_the_page_shows_the_camera_and_a_verdict_given_on_it_is_in_the_store(
    tmp_path: Path,
) -> None:
    store = tmp_path / "events.sqlite"
    command = f"live -d {VIDEO} --kind file --view --pub tcp://127.0.0.1:* --control none"
    process = subprocess.Popen(
        [sys.executable, "-m", "egomon", *command.split(), "--no-large", "--store", str(store)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    url, alert_id = "", ""
    with process, process.stderr:
        for line in process.stderr:
            if found := re.search(r"live page on (http://127\.0\.0\.1:\d+/)", line):
                url = found[1]
            if not alert_id and (found := re.search(r"! new .*\[(\S+)\]", line)):
                alert_id = found[1]
                body = json.dumps({"alert_id": alert_id, "verdict": "false"}).encode()
                origin = {"Origin": url.rstrip("/")}
                request = urllib.request.Request(f"{url}feedback", body, origin)
                with urllib.request.urlopen(request, timeout=10) as reply:
                    assert reply.read() == b"stored"
                with urllib.request.urlopen(f"{url}frame/bench", timeout=10) as reply:
                    for _ in range(3):
                        reply.readline()
                    assert reply.read(3) == b"\xff\xd8\xff"
    assert process.returncode == 0
    with EventStore(store) as events:
        assert [(row.alert_id, row.verdict) for row in events.feedback_rows()] == [
            (alert_id, "false")
        ]
