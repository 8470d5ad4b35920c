"""From the first command to a told mistake on the live page, in one run, with real footage.

python benchmarks/three_takes.py DIR [--left-out 5] [--clip-seconds 5 --steps 6]

DIR holds clips `<recording>_<step>.mp4`, one of each step. A network camera shows the recordings
001, 003 and 004, each recorded on the page in headless Chromium by one key; they are learned, the
monitor turns to them, and 002 is shown without one step. Everything goes at the speed of the
footage, in one `egomon live --view --learn`. `--clip-seconds` cuts each clip, `--steps` takes the
first steps alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

sys.path.append(str(Path(__file__).parents[1] / "tests" / "e2e"))

from browser import Browser
from fake_camera import FakeCamera, fake_camera

FPS = 10.0
TAKES, WATCHED = ("001", "003", "004"), "002"
WORD = "document.getElementById('state-word').textContent"
MORE = "document.getElementById('state-more').textContent"
LEARN_SECONDS = 600.0
TOLD_SECONDS = 15.0
"""After the first picture of the wrong step, the alert is waited for so long."""


def pictures(clip: Path, seconds: float | None) -> Iterator[NDArray[np.uint8]]:
    """RGB frames of a clip, which has `FPS`."""
    with av.open(str(clip)) as container:
        frames = container.decode(video=0)
        for frame in itertools.islice(frames, None if seconds is None else round(seconds * FPS)):
            yield frame.to_ndarray(format="rgb24").astype(np.uint8)


class Clock:
    """Seconds since the first command, and what was told then."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self) -> float:
        """Now."""
        return time.monotonic() - self._began

    def tell(self, what: str) -> float:
        """Print it with its time, which is returned."""
        now = self()
        print(f"{now:7.1f} s  {what}", flush=True)
        return now


def run(folder: Path, clips: dict[str, list[Path]], left_out: int, cut: float | None) -> None:
    with fake_camera(FPS) as camera, Browser(folder / "profile", timeout_seconds=700) as browser:
        clock = Clock()
        command = [sys.executable, "-m", "egomon", "live", "--device", camera.url, "--name", "sink"]
        command += ["--view", "--learn", str(folder / "work"), "--control", "none"]
        command += ["--pub", "tcp://127.0.0.1:*", "--store", str(folder / "events.sqlite")]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as monitor:
            lines, said = iter(monitor.stderr or ()), list[str]()
            page = re.compile(r"live page on (http://\S+)")
            url = next(found[1] for line in lines if (found := page.search(line)))
            reader = threading.Thread(target=said.extend, args=(lines,), daemon=True)
            reader.start()
            try:
                camera.play(itertools.islice(pictures(clips[TAKES[0]][0], None), 1))
                browser.open(url, width=390, height=844)
                follow(browser, camera, clock, clips, left_out, cut)
                if monitor.poll() is not None:
                    raise RuntimeError(f"the monitor ended: {''.join(said[-20:])}")
            finally:
                monitor.terminate()
                reader.join(30)


def follow(
    browser: Browser,
    camera: FakeCamera,
    clock: Clock,
    clips: dict[str, list[Path]],
    left_out: int,
    cut: float | None,
) -> None:
    """What a person does on the page."""
    browser.wait_for(f"{WORD}.startsWith('Show one correct run')", 120)
    clock.tell("the page asks for a correct run")
    for number, name in enumerate(TAKES, 1):
        browser.key("b")
        browser.wait_for(f"{WORD}.startsWith('Recording run {number}')", 60)
        for clip in clips[name]:
            camera.play(pictures(clip, cut))
        browser.key("b")
        browser.wait_for(f"{WORD}.startsWith('{number} run')", 60)
        clock.tell(f"run {number} is recorded")
    browser.press("#learn-now")
    browser.wait_for(f"{WORD} === 'Learning'", 60)
    browser.wait_for(f"{WORD}.startsWith('Step') || {WORD} === 'Watching'", LEARN_SECONDS)
    verdict = browser.run("document.getElementById('learned').textContent")
    steps = browser.run("document.querySelectorAll('#track li').length")
    watching = clock.tell(f"watching, {steps} steps: {verdict}")

    alerts: list[tuple[float, str]] = []
    over = threading.Event()
    wrong_at = [float("nan")]

    def show() -> None:
        for number, clip in enumerate(clips[WATCHED], 1):
            if number == left_out:
                continue
            if number == left_out + 1:
                wrong_at[0] = clock.tell(f"step {number} comes, {left_out} was left out")
            camera.play(pictures(clip, cut))
        over.set()

    shower = threading.Thread(target=show)
    shower.start()
    told = ""
    while not over.wait(0.1):
        more = browser.run(MORE) if browser.run(WORD) == "Mistake" else told
        if more != told:
            alerts.append((clock.tell(f"Mistake: {more}"), more))
            told = more
    shower.join()
    clock.tell("the last step is done")
    true = [at for at, _ in alerts if 0 <= at - wrong_at[0] <= TOLD_SECONDS]
    row = {
        "watching_s": round(watching, 1),
        "steps": steps,
        "alerts": len(alerts),
        "false_alerts": len(alerts) - len(true),
        "mistake_told_after_s": round(true[0] - wrong_at[0], 1) if true else None,
        "errors_of_the_page": browser.errors,
    }
    print(json.dumps(row))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clip-seconds", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--left-out", type=int, default=5, help="number of the step")
    options = parser.parse_args()
    clips = {
        name: sorted(options.folder.glob(f"{name}_*.mp4"))[: options.steps]
        for name in (*TAKES, WATCHED)
    }
    if not all(clips.values()):
        parser.error(f"no clips {TAKES[0]}_*.mp4 and so on in {options.folder}")
    with tempfile.TemporaryDirectory() as temporary:
        run(Path(temporary), clips, options.left_out, options.clip_seconds)


if __name__ == "__main__":
    main()
