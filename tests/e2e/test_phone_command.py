"""`egomon live --device phone` as a user starts it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("aiortc", reason="the extra `phone` is not installed")

from whip_camera import WhipCamera

WHIP = re.compile(r"WHIP (https://\S+/whip) with bearer token ([\w-]{16})$", re.MULTILINE)


def test_the_command_watches_a_phone(
    start: Callable[..., subprocess.Popen[str]], tiny_bundle: Path
) -> None:
    process = start(
        *("live", "--device", "phone://127.0.0.1:0", "--model", tiny_bundle, "--store", "none"),
        *("--pub", "tcp://127.0.0.1:*", "--control", "none", "--duration", "8s", "--json"),
    )
    assert process.stderr is not None
    told = ""
    while not (found := WHIP.findall(told)):
        line = process.stderr.readline()
        assert line, told
        told += line
    with WhipCamera(*found[0]):
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(out)["frames"]["decoded"] > 0
