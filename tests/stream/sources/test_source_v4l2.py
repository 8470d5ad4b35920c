"""FFmpeg's own Video4Linux2 code against a camera that is preloaded in place of a driver."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

HERE = Path(__file__).parent
DRIVER = HERE.parent / "fake_v4l2.c"
WIDTH, HEIGHT, FPS = 64, 48, 30
RED, STEP = [200, 20, 10], 5
"""Left half of each picture in RGB; right half: grey, brighter by this with each frame."""
WARMUP = 2
FIRST = 1 + WARMUP
"""Frames before the first that is read: FFmpeg looks at one to find out what comes."""

Told = list[dict[str, Any]]
Run = Callable[..., Told]


def picture(number: int) -> np.ndarray:
    drawn = np.full((HEIGHT, WIDTH, 3), STEP * number, np.uint8)
    drawn[:, : WIDTH // 2] = RED[::-1]
    return drawn


def pictures(path: Path, encode: Callable[[np.ndarray], bytes]) -> None:
    made = [encode(picture(number)) for number in range(50)]
    path.write_bytes(b"".join(struct.pack("<I", len(data)) + data for data in made))


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None or not Path("/usr/include/linux/videodev2.h").exists():
        pytest.skip("a C compiler and the kernel's headers are needed: apt install gcc libc6-dev")
    library = tmp_path_factory.mktemp("driver") / "fake_v4l2.so"
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(DRIVER), "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return library


@pytest.fixture
def run(driver: Path, tmp_path: Path) -> Run:
    def run(
        formats: Iterable[str] = ("MJPG",), events: str = "", frames: int = 12, **options: object
    ) -> Told:
        device = tmp_path / "video0"
        device.touch()
        if "MJPG" in formats:
            pictures(tmp_path / "video0.MJPG", lambda p: cv2.imencode(".jpg", p)[1].tobytes())
        if "YUYV" in formats:
            to_yuv = cv2.COLOR_BGR2YUV_YUYV
            pictures(tmp_path / "video0.YUYV", lambda p: cv2.cvtColor(p, to_yuv).tobytes())
        asked = json.dumps({"warmup_frames": WARMUP, **options})
        child = subprocess.run(
            [sys.executable, HERE / "v4l2_child.py", device, str(frames), asked],
            env=os.environ
            | {
                "LD_PRELOAD": str(driver),
                "FAKE_V4L2": str(device),
                "FAKE_V4L2_SIZE": f"{WIDTH}x{HEIGHT}",
                "FAKE_V4L2_FPS": str(FPS),
                "FAKE_V4L2_EVENTS": events,
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert child.returncode == 0, child.stderr
        assert "used after it was closed" not in child.stderr
        return [json.loads(line) for line in child.stdout.splitlines()]

    return run


def seen(told: Told) -> list[int]:
    """Numbers of the frames, from their grey; colours are checked on the way."""
    numbers = []
    for line in told:
        if "corners" in line:
            left, right = line["corners"]
            assert left == pytest.approx(RED, abs=6)
            assert max(right) - min(right) <= 3
            numbers.append(round(np.mean(right) / STEP))
    return numbers


@pytest.mark.parametrize("formats", [["MJPG"], ["YUYV"], ["YUYV", "MJPG"]])
def test_each_frame_comes_once_with_the_drivers_time_and_the_size_it_has(
    run: Run, formats: list[str]
) -> None:
    told = run(formats, size=(1280, 720), fps=15)
    opened = next(line for line in told if "width" in line)
    assert opened == {"width": WIDTH, "height": HEIGHT, "fps": FPS}
    assert seen(told) == list(range(FIRST, FIRST + 12))
    times = [line["t_seconds"] for line in told if "corners" in line]
    assert times == pytest.approx([number / FPS for number in range(12)], abs=2e-6)
    assert not [line for line in told if "gap" in line]


@pytest.mark.parametrize("formats", [["MJPG"], ["YUYV"]])
def test_what_the_driver_calls_damaged_is_left_out_and_counted(
    run: Run, formats: list[str]
) -> None:
    told = run(formats, f"{FIRST + 3}:error")
    expected = [number for number in range(FIRST, FIRST + 13) if number != FIRST + 3]
    assert seen(told) == expected
    assert [line for line in told if "gap" in line] == [{"gap": "decode_error", "count": 1}]
    indices = [line["index"] for line in told if "corners" in line]
    assert indices == [number - FIRST for number in expected]


def test_a_picture_that_was_cut_off_becomes_the_one_before(run: Run) -> None:
    told = run(events=f"{FIRST + 3}:short")
    assert seen(told)[2:5] == [FIRST + 2, FIRST + 2, FIRST + 4]
    assert [line for line in told if "gap" in line] == [{"gap": "decode_error", "count": 1}]


def test_an_unplugged_camera_goes_on_when_it_is_back(run: Run) -> None:
    told = run(events=f"{FIRST + 6}:unplug")
    epochs = [line["epoch"] for line in told if "corners" in line]
    assert epochs == [0] * 6 + [1] * 6
    assert seen(told) == 2 * list(range(FIRST, FIRST + 6))
    lost = [(line["code"], line["attempt"]) for line in told if line.get("state") == "reconnecting"]
    assert lost == [("DEVICE_NOT_FOUND", 1), ("DEVICE_NOT_FOUND", 2)]


def test_a_camera_that_falls_silent_is_opened_again(run: Run) -> None:
    told = run(events=f"{FIRST + 6}:hang", read_timeout_seconds=0.3, stall_seconds=0.2)
    assert seen(told) == 2 * list(range(FIRST, FIRST + 6))
    states = [(line["state"], line["code"]) for line in told if "state" in line]
    assert ("reconnecting", "STREAM_TIMEOUT") in states
    assert states[-1][0] == "ended"


def test_a_camera_in_use_is_said(run: Run) -> None:
    told = run(events="0:busy")
    assert told[-1]["code"] == "DEVICE_BUSY"
    assert "used by another program; close that first" in told[-1]["error"]


def test_a_device_without_a_format_that_can_be_read_is_refused(run: Run) -> None:
    told = run(formats=())
    assert told[-1]["code"] == "DEVICE_BUSY"
    assert "cannot be opened: " in told[-1]["error"]
