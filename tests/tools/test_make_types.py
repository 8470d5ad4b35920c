"""The TypeScript types say what the messages are, and a program in TypeScript can use them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tools.make_types import FILE, types

PROGRAM = """
import type { AlertData, Envelope, MessageData } from "./egomon";
const alert: Envelope<AlertData> = JSON.parse("{}");
const phase: "new" | "update" | "end" | "retract" = alert.data.phase;
const logit: number = alert.data.scores.small.logits[1];
const state: MessageData["status"]["source_state"] = "online";
export { phase, logit, state };
"""


def test_the_file_beside_the_examples_is_that_of_the_schemas() -> None:
    assert FILE.read_text(encoding="utf-8") == types(), "run `python -m tools.make_types`"


def test_the_compiler_takes_right_programs_and_refuses_wrong_ones(tmp_path: Path) -> None:
    if shutil.which("tsc") is None:
        pytest.skip("tsc is not installed (Debian: node-typescript)")
    shutil.copy(FILE, tmp_path)

    def compiled(program: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "use.ts").write_text(program)
        command = ["tsc", "--noEmit", "--strict", "use.ts"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert compiled(PROGRAM).returncode == 0, compiled(PROGRAM).stdout
    wrong = compiled(PROGRAM.replace('= "online"', '= "on line"'))
    assert wrong.returncode != 0
    assert "on line" in wrong.stdout
