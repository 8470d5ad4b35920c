"""Packages beside egomon: installed with pip, used from the command line, checked by the suites."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
from command import Run
from tiny_models import tiny_tensors

from egomon import EncoderContext, OpenContext
from egomon.branches.bundle.card import (
    BundleCard,
    DecisionCard,
    FrameEncoderCard,
    SmallCard,
    StreamCard,
)
from egomon.branches.bundle.save import save_bundle
from egomon.cli.doctor.machine import _plugins
from egomon.fusion.messages.types import AlertData
from egomon.plugins import _entry_points
from egomon.testing import check_encoder, check_sink, check_source, read_session

pytestmark = pytest.mark.timeout(300)  # pip, torch and timm are loaded anew

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PACKAGES = ("custom_source", "custom_encoder", "custom_sink")
PICTURES = 60
ENCODER = FrameEncoderCard(library="timm-by-hand", architecture="resnet10t", image_px=32, dim=512)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the three examples, without a network."""
    folder = tmp_path_factory.mktemp("packages")
    # pip builds beside the source: not in the project's own folder.
    copies = [shutil.copytree(EXAMPLES / name, folder / "copies" / name) for name in PACKAGES]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"),
            *("--no-build-isolation", "--disable-pip-version-check", "--no-compile"),
            *("--target", str(folder / "site"), *map(str, copies)),
        ],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        picture = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        assert cv2.imwrite(str(folder / f"{number:03}.jpg"), picture)
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    card = BundleCard(
        name="by-hand",
        description="Random heads on an encoder of another package",
        created="2026-01-01",
        egomon_version="0.1.0",
        licence="Apache-2.0",
        frame_encoder=ENCODER,
        small=SmallCard(width=8),
        stream=StreamCard(fps=4.0, length_seconds=2.0, stride_seconds=1.0),
        decision=DecisionCard(threshold_small=0.0),
    )
    return save_bundle(tmp_path_factory.mktemp("bundle") / "b", card, tiny_tensors(card))


def beside(*folders: Path) -> str:
    """PYTHONPATH with these folders first."""
    return os.pathsep.join([*map(str, folders), os.environ.get("PYTHONPATH", "")])


def test_source_encoder_and_sink_of_other_packages_work_from_the_command_line(
    egomon: Run, packages: Path, pictures: Path, bundle: Path, tmp_path: Path
) -> None:
    alerts, session = tmp_path / "alerts.jsonl", tmp_path / "session.jsonl"
    done = egomon(
        *("replay", f"pictures://{pictures}", "--model", bundle, "--out", alerts),
        *("--sink", "csv:table.csv", "--sink", f"file:{session}", "--json"),
        timeout=200.0,
        PYTHONPATH=beside(packages),
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["frames"]["decoded"] == PICTURES
    assert summary["alerts"]["new"] > 0
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == summary["alerts"]["new"]
    assert all(0 <= float(row["p"]) <= 1 and row["explanation"] for row in rows)
    written = [json.loads(line) for line in alerts.read_text().splitlines()]
    sent = [m.data for m in read_session(session) if isinstance(m.data, AlertData)]
    assert [alert.alert_id for alert in sent] == [alert["alert_id"] for alert in written]


def test_the_examples_keep_the_contracts(
    packages: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(packages))
    opens = import_module("egomon_pictures").PictureFolder
    context = OpenContext("pictures")
    assert len(check_source(lambda: opens(f"pictures://{pictures}", context))) == PICTURES
    check_encoder(import_module("egomon_timm_by_hand").TimmByHand(ENCODER, EncoderContext()))
    check_sink(lambda: import_module("egomon_csv").CsvSink(f"csv:{tmp_path / 'table.csv'}"))


def test_a_bundle_whose_encoder_is_not_installed_names_what_is_missing(
    egomon: Run, pictures: Path, bundle: Path
) -> None:
    done = egomon("replay", "synthetic:", "--model", bundle)
    assert done.returncode == 4
    assert "'timm-by-hand', but there are only" in done.stderr
    done = egomon("replay", f"pictures://{pictures}")
    assert done.returncode == 2
    assert "is no source; give" in done.stderr


BAD = """
number = 7

def fails(*given):
    raise RuntimeError("no screen at https://me:hunter2@host/")

def gives_none(*given):
    return None
"""


def bring_bad(folder: Path, group: str, line: str) -> None:
    """A package as pip leaves it, with one entry point."""
    info = folder / "egomon_bad-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: egomon-bad\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[egomon.{group}]\n{line}\n")
    (folder / "bad.py").write_text(BAD)


@pytest.mark.parametrize(
    ("entry", "command", "words"),
    [
        ("sources|rtsp=bad:fails", "replay synthetic:", "source 'rtsp' of package egomon-bad 1.0"),
        ("sinks|file=bad:fails", "live", "'file' of package egomon-bad 1.0 has the name of one"),
        ("encoders|timm=bad:fails", "live", "'timm' of package egomon-bad 1.0 has the name of one"),
        ("sources|bad=bad:fails", "live -d bad://", "package egomon-bad 1.0 failed: RuntimeError"),
        ("sources|bad=missing:x", "replay bad://", "egomon-bad 1.0 cannot be loaded: ModuleNotF"),
        ("sinks|bad=bad:number", "replay synthetic: --sink bad:", "bad 1.0 is of type int and"),
        (
            "sinks|bad=bad:gives_none",
            "replay synthetic: --sink bad:",
            "gave a NoneType, which is no Sink",
        ),
    ],
)
def test_a_package_that_does_not_work_ends_in_one_sentence_with_its_name(
    egomon: Run, tmp_path: Path, entry: str, command: str, words: str
) -> None:
    group, _, line = entry.partition("|")
    bring_bad(tmp_path, group, line)
    ports = ("--pub", "tcp://127.0.0.1:*", "--control", "none", "--store", "none", "--quiet")
    done = egomon(*command.split(), *ports, PYTHONPATH=beside(tmp_path))
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "hunter2" not in done.stderr
    assert done.stderr.startswith("egomon: ")


def test_doctor_lists_what_is_installed_and_what_is_broken(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_bad(tmp_path, "sinks", "bad = missing:x")
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.syspath_prepend(str(tmp_path))
    _entry_points.cache_clear()
    try:
        found = list(_plugins())
    finally:
        _entry_points.cache_clear()
    assert [(check.level, check.detail.partition(" cannot")[0]) for check in found] == [
        ("ok", "the source 'pictures' of package egomon-pictures 0.1.0"),
        ("ok", "the frame encoder 'timm-by-hand' of package egomon-timm-by-hand 0.1.0"),
        ("error", "the sink 'bad' of package egomon-bad 1.0"),
        ("ok", "the sink 'csv' of package egomon-csv 0.1.0"),
    ]
