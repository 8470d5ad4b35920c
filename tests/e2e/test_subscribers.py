"""The subscribers that people copy: each prints every alert of a replay, and both the same."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command import Run
from wire_station import alert

from egomon.fusion.transport.sequencer import Sequencer

EXAMPLES = Path(__file__).parents[2] / "examples"
ALERTING = ("--threshold", "0.0", "--policy", "fixed", "--length", "2", "--stride", "1")


@pytest.fixture(scope="module")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Node example after `npm install`, as its first line says."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "subscribe.mjs"):
        shutil.copy(EXAMPLES / name, folder)
    install = ["npm", "install", "--no-audit", "--no-fund", "--silent"]
    try:
        done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=90)
    except subprocess.TimeoutExpired:
        pytest.skip("npm could not fetch the package zeromq within 90 s")
    if done.returncode != 0:
        pytest.skip(f"npm could not install the package zeromq: {done.stderr[-200:]}")
    return folder


@contextmanager
def printing_to(path: Path, *command: object, cwd: Path) -> Iterator[None]:
    """Run a program that never ends, its output in a file, until the block ends."""
    with path.open("w") as file, path.with_suffix(".err").open("w") as errors:
        words = [str(part) for part in command]
        process = subprocess.Popen(words, cwd=cwd, stdout=file, stderr=errors)
        try:
            yield
            assert process.poll() is None, path.with_suffix(".err").read_text()
        finally:
            process.kill()
            process.wait(timeout=10)


@pytest.mark.timeout(400)  # 20 s of CPU; npm and a crowded machine decide the rest
def test_python_and_node_print_the_same_alerts_of_one_replay(
    egomon: Run,
    node_folder: Path,
    tiny_bundle: Path,
    video: Path,
    tmp_path: Path,
    endpoints: tuple[str, str],
) -> None:
    publish, control = endpoints
    out, python, node = (tmp_path / name for name in ("alerts.jsonl", "python.txt", "node.txt"))
    script = EXAMPLES / "subscribe.py"
    with (
        printing_to(python, sys.executable, script, publish, cwd=tmp_path),
        printing_to(node, "node", "subscribe.mjs", publish, cwd=node_folder),
    ):
        # Both connect once the monitor listens; the first alert comes seconds of video later.
        done = egomon(
            *("replay", video, "--model", tiny_bundle, "--speed", "1", "--out", out),
            *("--pub", publish, "--control", control, *ALERTING),
            timeout=280,
        )
        assert done.returncode == 0, done.stderr
    alerts = [json.loads(line) for line in out.read_text().splitlines()]
    expected = [f"{a['alert_id']} {a['rev']} {a['phase']} {a['explanation']}" for a in alerts]
    assert expected
    assert python.read_text().splitlines() == expected
    assert node.read_text().splitlines() == expected


FAKE_ZEROMQ = """
import { readFileSync } from "node:fs";
export class Subscriber {
  connect() {}
  subscribe() {}
  async *[Symbol.asyncIterator]() {
    for (const frames of JSON.parse(readFileSync("messages.json"))) yield frames.map(Buffer.from);
  }
}
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_node_subscriber_says_how_many_alerts_it_has_lost(tmp_path: Path) -> None:
    package = tmp_path / "node_modules" / "zeromq"
    package.mkdir(parents=True)
    (package / "index.mjs").write_text(FAKE_ZEROMQ)
    (package / "package.json").write_text('{"name": "zeromq", "exports": "./index.mjs"}')
    shutil.copy(EXAMPLES / "subscribe.mjs", tmp_path)
    messages = []
    for boot in ("boot-1", "boot-2"):  # a new boot begins at 1: nothing is lost between
        numbered = Sequencer(boot, "bench", lambda: 0)
        events = [numbered.number("cam0", alert(f"a-{n}")) for n in range(1, 5)]
        messages += [[e.topic, e.envelope.decode()] for e in (events[0], events[3])]
    (tmp_path / "messages.json").write_text(json.dumps(messages))
    done = subprocess.run(
        ["node", "subscribe.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["a-1", "a-4"] * 2
    assert done.stderr == "2 alerts were lost; the monitor's store has them\n" * 2
