"""The run-time where no extra is installed: torch, OpenCV and others cannot be imported."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from egomon.extras import EXTRAS
from egomon.train.simulator import simulate

ROOT = Path(__file__).parents[1]
BENCH = ROOT / "examples" / "bench.mp4"
BLOCKED = sorted({module for modules in EXTRAS.values() for module in modules})

HOOK = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
"""


def egomon(*args: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command in a process where the extras are missing."""
    code = f"{HOOK}\nsys.argv[0] = 'egomon'\nfrom egomon.cli import main\nmain()"
    return subprocess.run(
        [sys.executable, "-c", code, *args],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        cwd=folder,
        env={**os.environ, "XDG_DATA_HOME": str(folder), "XDG_CACHE_HOME": str(folder)},
    )


def test_every_public_name_and_every_module_of_the_run_time_imports(tmp_path: Path) -> None:
    code = f"""
{HOOK}
import importlib, pkgutil
import egomon
from egomon.errors import MissingExtraError
for name in egomon.__all__:
    getattr(egomon, name)
needs = []
for found in pkgutil.walk_packages(egomon.__path__, "egomon.", onerror=lambda name: None):
    if found.name != "egomon.__main__":
        try:
            importlib.import_module(found.name)
        except (ModuleNotFoundError, MissingExtraError):
            needs.append(found.name)
print("\\n".join(needs))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=110, check=True
    )
    allowed = (
        "egomon.branches.encoders.",
        "egomon.branches.export.",
        "egomon.branches.torch_modules",
        "egomon.branches.uemcm.",
        "egomon.stream.sources.webcam.opencv",
        "egomon.stream.sources.webrtc",
        "egomon.train.dcr.",
        "egomon.train.fitting.",
        "egomon.train.losses",
        "egomon.train.simulator",
    )
    needs = done.stdout.split()
    assert [name for name in needs if not name.startswith(allowed)] == []
    assert "egomon.branches.torch_modules" in needs  # the hook works


def test_every_verb_tells_its_options(tmp_path: Path) -> None:
    code = f"""
{HOOK}
from click.testing import CliRunner
from egomon.cli.app import VERBS, app
for verb in VERBS:
    told = CliRunner().invoke(app, [verb, "--help"])
    assert told.exit_code == 0 and "Usage" in told.output, (verb, told.output)
    print(verb)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {"live", "replay", "listen", "teach", "train", "doctor"} <= set(done.stdout.split())


def test_a_replay_of_the_demonstration_asks_both_branches(tmp_path: Path) -> None:
    done = egomon("replay", str(BENCH), "--speed", "max", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert [alert["mode"] for alert in summary["alert_list"]] == ["full"] * 3
    assert not summary["degraded"]


def test_the_doctor_says_what_is_there_and_what_runs_each_network(tmp_path: Path) -> None:
    done = egomon("doctor", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = {each["name"]: each["detail"] for each in json.loads(done.stdout)["checks"]}
    assert found["extra torch"].startswith("not installed; for training")
    assert found["engines"] == "ONNX Runtime, --engine onnx"
    assert found["frame encoder"].startswith("onnxruntime")
    assert found["large branch"] == "ONNX Runtime"
    assert "capture and alerts run" in found["priority"]


def test_alerts_have_their_pictures_and_clips_and_the_report_its_own(tmp_path: Path) -> None:
    (tmp_path / "egomon.toml").write_text('[evidence]\nsnapshot = true\nfolder = "clips"\n')
    done = egomon(
        *("replay", str(BENCH), "--config", "egomon.toml", "--sink", "file:session.jsonl"),
        *("--store", "bench.sqlite", "--report", "bench.html"),
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "clips").glob("*.mp4"))) == 3
    assert (tmp_path / "bench.html").read_text("utf-8").count("data:image/jpeg;base64,") == 3
    pictures = [
        base64.b64decode(json.loads(line)["attachments"][0])
        for line in (tmp_path / "session.jsonl").read_text().splitlines()
        if '"kind":"snapshot"' in line
    ]
    assert [picture[:3] for picture in pictures] == [b"\xff\xd8\xff"] * 3


def test_the_live_page_has_its_picture_with_the_ring_of_the_gaze() -> None:
    code = f"""
{HOOK}
from types import SimpleNamespace
import numpy as np
from egomon.branches.bundle.card import Preprocessing
from egomon.cli.page.live_page import camera_of
from egomon.stream.buffer import RollingBuffer
from egomon.stream.frame import Frame, Gaze
buffer = RollingBuffer(seconds=5, max_bytes=1 << 24, on_full="drop_oldest")
image = np.zeros((224, 224, 3), np.uint8)
detail = np.zeros((720, 720, 3), np.uint8)
buffer.push(Frame(image, detail, 0.0, 1, 1, 0, 0, gaze=Gaze(0.5, 0.5, worn=True)))
item = SimpleNamespace(
    name="cam0", buffer=buffer, size=(1280, 720), preprocessing=Preprocessing(crop="squash")
)
shown, jpeg = camera_of([item])("cam0", -1)
sys.exit(not jpeg.startswith(bytes([255, 216, 255])))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_workflow_is_taught_and_watched(tmp_path: Path) -> None:
    simulate(tmp_path / "work", 0, 0.5, correct_only=True)
    videos = [str(path) for path in sorted((tmp_path / "work").glob("*.mp4"))]
    for base in ("workbench", "lite0"):
        done = egomon(
            *("teach", *videos, "--name", base, "--base", base, "-o", base, "--json"),
            folder=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["written"]
        seen = egomon("replay", videos[0], "--model", base, "--json", folder=tmp_path)
        assert seen.returncode == 0, seen.stderr
        assert json.loads(seen.stdout)["frames"]["encoded"] > 0


@pytest.mark.parametrize(
    ("args", "extra"),
    [
        (("replay", str(BENCH), "--engine", "torch"), "torch"),
        (("dcr", ".", "--clip", ".", "--diffusion", ".", "-o", "out"), "dcr"),
        (("replay", str(BENCH), "--model", "someone/bundle"), "hub"),
        (("simulate", "-o", "out"), "simulate"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_what_needs_an_extra_says_which_in_one_sentence(
    args: tuple[str, ...], extra: str, tmp_path: Path
) -> None:
    done = egomon(*args, folder=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.endswith(f"install it with: pip install 'egomon[{extra}]'\n")
    assert len(done.stderr.splitlines()) == 1
