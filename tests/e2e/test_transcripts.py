"""README.md as a newcomer follows it: its shell blocks, in order, in an empty home.

Every shell block is either run here or listed in `NOT_RUN` with the reason; a new one that is
neither fails. Ports are the only thing changed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
COMMANDS = re.compile(r"^\s*(?:sudo |\. )?(egomon|make|python3?|pip|node|npm|sh|cd|git)\b", re.M)

NOT_RUN = {
    "make demo": "installs about 6 GB; the command it runs then is compared below",
    "egomon live --device 0": "needs a camera",
    "python benchmarks/teach.py handwash": "makes the figures: hours, and data sets of others",
}
"""First words of a block -> why it is not run."""

WEARER, ASSISTANT, RESEARCHER = "egomon doctor", "egomon replay", "egomon simulate --seed 1 "
RUN = (WEARER, ASSISTANT, RESEARCHER)

pytestmark = pytest.mark.timeout(900)  # about a minute of CPU in all


def shell_blocks() -> list[str]:
    return [body for language, body in BLOCK.findall(README.read_text()) if language == "sh"]


def block(first: str) -> str:
    (found,) = (body for body in shell_blocks() if body.startswith(first))
    return found


@dataclass(frozen=True)
class Newcomer:
    """A fresh clone with an empty home; the command is on the path."""

    folder: Path
    endpoints: tuple[str, str]

    def follow(self, first: str) -> str:
        """Run a block as it stands; give stdout and stderr together."""
        script = block(first)
        for known, free in zip(("5556", "5557"), self.endpoints, strict=True):
            script = script.replace(known, free.rpartition(":")[2])
        home = self.folder / "home"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{script}\nwait"],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=840,
            env={
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "HOME": str(home),
                "LANG": "C.UTF-8",
                "HF_HUB_OFFLINE": "1",
                "EGOMON_BUS__CONTROL": self.endpoints[1],
            },
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture
def newcomer(tmp_path: Path, endpoints: tuple[str, str]) -> Newcomer:
    (tmp_path / "home").mkdir()
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return Newcomer(tmp_path, endpoints)


def test_every_shell_block_is_run_or_listed_with_a_reason() -> None:
    known = (*RUN, *NOT_RUN)
    for body in shell_blocks():
        fits = [first for first in known if body.startswith(first)]
        assert fits, f"neither run nor listed:\n{body}"
    for first in known:
        assert block(first), f"{first!r} is not in README.md any more"


def test_commands_stand_in_blocks_that_are_marked_sh() -> None:
    for language, body in BLOCK.findall(README.read_text()):
        if language != "sh":
            found = COMMANDS.search(body) if language in ("", "text", "console", "bash") else None
            assert found is None, f"mark this block as sh:\n{body}"


def test_make_demo_replays_the_recording_that_is_shown() -> None:
    told = subprocess.run(
        ["make", "--no-print-directory", "-n", "demo"],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if not key.startswith("MAKE")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told.returncode == 0, told.stderr
    last = told.stdout.splitlines()[-1].split()
    assert last[:3] == [".venv/bin/egomon", "replay", "examples/bench.mp4"]
    assert (ROOT / last[2]).is_file()


def test_who_wears_a_camera_sees_alerts_with_reasons_and_a_page(newcomer: Newcomer) -> None:
    printed = newcomer.follow(WEARER)
    assert "self-test" in printed
    assert "ERROR" not in printed
    (shown,) = (body for _, body in BLOCK.findall(README.read_text()) if body.startswith("when "))
    header, *rows = (line.split() for line in shown.splitlines())
    printed_rows = [line.split() for line in printed.splitlines()]
    assert header in printed_rows, "the summary of replay"
    span = re.compile(r"\d\d:\d\d\.\d-\d\d:\d\d\.\d")
    assert rows
    assert all(span.fullmatch(row[0]) for row in rows)
    found = [row for row in printed_rows if row and span.fullmatch(row[0])]
    assert [row[0] for row in found] == [row[0] for row in rows]
    assert "<html" in (newcomer.folder / "bench.html").read_text()[:2000]


def test_who_builds_an_assistant_receives_the_alerts_of_the_recording(newcomer: Newcomer) -> None:
    printed = newcomer.follow(ASSISTANT)
    opened = re.findall(r"! new .*\[(a-bench-\S+)\]", printed)
    # Once from the listener, once on the screen of the replay itself.
    assert opened
    assert {opened.count(alert_id) for alert_id in opened} == {2}
    assert "Traceback" not in printed


def test_who_trains_gets_figures_beside_trivial_rows_and_a_prediction_file(
    newcomer: Newcomer,
) -> None:
    printed = newcomer.follow(RESEARCHER)
    for row in ("always", "never", "prior", "ROC", "No interval"):
        assert row in printed
    card = json.loads((newcomer.folder / "my-model" / "bundle.json").read_text())
    assert "val/roc_auc" in card["metrics"]
    answers = json.loads((newcomer.folder / "predictions.json").read_text())
    assert answers.pop("modality") == "RGB"
    assert answers
    assert set(answers.values()) <= {0, 1}
