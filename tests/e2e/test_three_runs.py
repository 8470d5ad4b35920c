"""From the first command to a monitor that watches: three runs, recorded on the page."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Browser, find_chromium
from fake_camera import FakeCamera, fake_camera

from egomon.branches.taught.corrections import read_corrections
from egomon.branches.taught.workflow_file import WORKFLOW_FILE, read_graphs, write_graphs
from egomon.branches.taught.workflow_graph import WorkflowGraph
from egomon.cli.page.folder import WorkFolder
from egomon.cli.page.live_page import LivePage
from egomon.cli.page.teach_process import OnProgress
from egomon.config import load_settings
from egomon.monitor import Monitor, SourceRequest
from egomon.report.server import LiveServer
from egomon.stream.segmenter import Span
from egomon.train.simulator.plan import UNSEEN
from egomon.train.simulator.record import RenderedRecording, record
from egomon.train.teach.help_files import STEPS_FILE, write_boundaries

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


def wait_for(browser: Browser, start: str, seconds: float = 90.0) -> None:
    try:
        browser.wait_for(f"{WORD}.startsWith({start!r})", seconds)
    except AssertionError as error:
        shown = browser.run("document.getElementById('state').innerText")
        raise AssertionError(f"no {start!r}, the page shows {shown!r}") from error


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


NAMES = ("take the cup", "fill it", "put on the lid")


@pytest.fixture
def page(
    camera: FakeCamera, tiny_bundle: Path, tmp_path: Path
) -> Iterator[tuple[str, WorkFolder, Monitor]]:
    """A monitor of the camera with its page; learning takes a ready bundle over."""
    store = tmp_path / "events.sqlite"
    settings = load_settings(
        None,
        {
            "bus": {"publish": (), "control": "none"},
            "store": {"path": str(store)},
            "model": {"name": str(tiny_bundle), "large": False},
        },
    )
    work = WorkFolder(tmp_path / "work", is_wanted=True)

    def teach(folder: Path, progress: OnProgress, stop: threading.Event) -> dict[str, Any]:
        progress("encoding run-001.mp4", 0.5)
        shutil.copytree(tiny_bundle, work.bundle, dirs_exist_ok=True)
        asked = work.steps.names.read_text().splitlines() if work.steps.names.exists() else NAMES
        ids = [f"step-{i}" for i, _ in enumerate(asked, 1)]
        graph = WorkflowGraph.learn([ids], names=dict(zip(ids, asked, strict=True)))
        write_graphs([graph], work.bundle / WORKFLOW_FILE)
        spans = [Span(2.0 * i, 2.0 * i + 2, name) for i, name in enumerate(asked)]
        write_boundaries(work.bundle / STEPS_FILE, {"run-001.mp4": spans})
        return {"verdict": "ready", "sentence": "Ready: found 3 steps.", "written": True}

    request = SourceRequest.of("bench", camera.url, "live", settings.source)
    live = LivePage("bench", settings, work, teach=teach)
    monitor = Monitor([request], settings, listeners=[live.hub.publish])
    live.connect(monitor)
    runner = threading.Thread(target=monitor.run)
    with LiveServer(live.hub) as server:
        runner.start()
        yield server.url, work, monitor
        live.close()
        monitor.stop()
        runner.join(30)
    assert not runner.is_alive()


@pytest.mark.timeout(400)
def test_the_page_leads_from_a_run_to_a_bundle_that_watches_and_learns_from_a_word(
    browser: Browser, camera: FakeCamera, page: tuple[str, WorkFolder, Monitor]
) -> None:
    url, work, monitor = page
    browser.open(url, width=390, height=844)
    wait_for(browser, "Show one correct run", 60)
    browser.key("b")
    wait_for(browser, "Recording run 1")
    grey = np.full((224, 224, 3), 90, np.uint8)
    camera.play(np.roll(grey, i, 1) + np.uint8(i % 90) for i in range(round(7 * FPS)))
    browser.key("b")
    wait_for(browser, "1 run is recorded")
    assert [run.name for run in work.runs()] == ["run-001"]

    browser.run("document.getElementById('teach').open = true")
    browser.run("document.querySelectorAll('#teach .buttons button')[1].click()")
    ready = "document.getElementById('learned').textContent === 'Ready: found 3 steps.'"
    browser.wait_for(ready, 90)
    browser.wait_for("document.querySelectorAll('#track .name').length === 3", 90)
    assert browser.run(
        "[...document.querySelectorAll('#track .name')].map((n) => n.textContent)"
    ) == [f"{i} {name}" for i, name in enumerate(NAMES, 1)]
    assert monitor.pipeline is not None
    browser.wait_for("document.getElementById('told').textContent !== ''", 90)

    name = "document.querySelector('#steps [type=text]')"
    browser.run(f"{name}.value = 'lift the cup'")
    browser.run("document.querySelector('#steps [type=checkbox]').checked = true")
    browser.run("document.querySelector('#steps [type=submit]').click()")
    browser.wait_for("document.querySelector('#track .name').textContent === '1 lift the cup'", 90)
    # The answer comes after the change that it is about, and would cover the next one.
    browser.wait_for("document.getElementById('told').textContent.startsWith('Saved.')", 90)
    (graph,) = read_graphs(work.bundle / WORKFLOW_FILE)
    assert (graph.steps[0].name, graph.steps[0].optional) == ("lift the cup", True)

    browser.run("document.querySelector('#missed button').click()")
    browser.wait_for("document.getElementById('told').textContent.includes('more easily now')", 90)
    assert [row.said for row in read_corrections(work.bundle)] == ["missed"]
    browser.press("#undo")
    browser.wait_for("document.getElementById('told').textContent.includes('undone')", 90)
    assert read_corrections(work.bundle) == ()

    change_steps(browser)

    browser.press("#mute")
    browser.wait_for("document.getElementById('mute').textContent.startsWith('Muted until')", 90)
    assert monitor.operations.mute_with.is_on
    browser.press("#mute")
    browser.wait_for("document.getElementById('mute').textContent === 'Mute 5 min'", 90)
    assert not monitor.operations.mute_with.is_on

    browser.run("document.querySelector('.runs button').click()")
    browser.wait_for("document.querySelectorAll('.runs li').length === 0", 90)
    assert work.runs() == []
    assert browser.errors == []
    browser.open("about:blank#end")


def track(browser: Browser, *names: str) -> None:
    """Wait until the track on top shows these steps, and the page is ready for more."""
    told = [f"{i} {name}" for i, name in enumerate(names, 1)]
    shown = "[...document.querySelectorAll('#track .name')].map((n) => n.textContent).join()"
    idle = "!document.querySelector('#steps [type=submit]').disabled"
    browser.wait_for(f"{shown} === {','.join(told)!r} && {idle}", 90)


def change_steps(browser: Browser) -> None:
    """Merge by keyboard, undo, split by the pointer at a time of the run; on a phone's width."""
    browser.run("document.querySelector('[data-key=\"step-1 merge\"]').focus()")
    browser.key("Enter")
    track(browser, "lift the cup", "put on the lid")
    browser.press("#undo")
    track(browser, "lift the cup", "fill it", "put on the lid")

    split = "[data-key='step-2 split']"
    browser.press(split)
    film = "document.querySelector('.split video')"
    browser.wait_for(f"{film} && {film}.readyState >= 2 && {film}.currentTime === 2", 90)
    browser.key("Escape")
    assert browser.run(f"document.activeElement === document.querySelector({split!r})")
    browser.press(split)
    browser.wait_for(f"{film} && {film}.readyState >= 2", 90)
    browser.run(f"{film}.currentTime = 2.5")
    browser.wait_for("document.querySelector('.split output').textContent.includes('00:02.5')", 90)
    browser.press(".split .here")
    browser.wait_for("document.getElementById('told').textContent.includes('must last 1 s')", 90)
    assert "400" in browser.errors.pop()
    browser.run(f"{film}.currentTime = 3")
    browser.wait_for("document.querySelector('.split output').textContent.includes('00:03.0')", 90)
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    browser.press(".split .here")
    track(browser, "lift the cup", "fill it", "fill it, part 2", "put on the lid")
