"""From the first command to a monitor that watches: three runs, recorded on the page."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, find_chromium
from fake_camera import FakeCamera, fake_camera

from egomon.train.simulator.plan import UNSEEN
from egomon.train.simulator.record import RenderedRecording, record

pytest.importorskip("uvicorn")
pytestmark = pytest.mark.skipif(
    find_chromium() is None, reason="no chromium or chrome binary is installed"
)
FPS = 12.0
WORD = "document.getElementById('state-word').textContent"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path / "profile", timeout_seconds=240.0) as found:
        yield found


@pytest.fixture
def camera() -> Iterator[FakeCamera]:
    with fake_camera(FPS) as found:
        yield found


def right_run(number: int) -> RenderedRecording:
    """One correct run of one rendered workflow."""
    return record(UNSEEN[0], np.random.default_rng([71, number]), 0.0, FPS)


def wait_for(browser: Browser, start: str, seconds: float = 30.0) -> None:
    browser.wait_for(f"{WORD}.startsWith({start!r})", seconds)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_three_runs_on_the_page_make_a_monitor_within_five_minutes(
    browser: Browser,
    camera: FakeCamera,
    start: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    began = time.monotonic()
    process = start(
        *("live", "-d", camera.url, "--name", "bench", "--view", "--learn", tmp_path / "work"),
        *("--pub", "tcp://127.0.0.1:*", "--control", "none"),
    )
    assert process.stderr is not None
    url = next(
        found[1]
        for line in process.stderr
        if (found := re.search(r"live page on (http://\S+)", line))
    )
    browser.open(url, width=390, height=844)
    wait_for(browser, "Show one correct run", 60)
    lengths = []
    for number in range(3):
        browser.key("b")  # any key is the pedal
        wait_for(browser, f"Recording run {number + 1}")
        run = right_run(number)
        lengths.append(run.seconds)
        camera.play(run.frames(224))
        browser.key("b")
        wait_for(browser, f"{number + 1} run")
    browser.press("#learn-now")
    wait_for(browser, "Learning")
    browser.wait_for(f"{WORD}.startsWith('Step') || {WORD} === 'Watching'", 200)
    took = time.monotonic() - began
    sys.stdout.write(f"watching after {took:.0f} s, of which runs {sum(lengths):.0f} s\n")
    assert browser.run("document.getElementById('learned').dataset.verdict") in ("ready", "usable")
    assert browser.run("document.querySelectorAll('#track li').length") >= 2
    camera.play(right_run(3).frames(224))
    wait_for(browser, "Step", 30)
    assert took < 300
    assert browser.errors == []
