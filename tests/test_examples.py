"""Every example runs as its first lines say; what cannot run here is checked against its source."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from egomon.train.simulator import simulate

pytestmark = pytest.mark.timeout(900)  # each starts the command several times

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def run(folder: Path, *command: object, **env: str) -> str:
    """Run in a folder, with a home of its own; give stdout."""
    home = folder / "home"
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=840,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "EGOMON_"))},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            **env,
        },
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def encoder(tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The JSON file that names a tiny frame encoder."""
    path = tmp_path_factory.mktemp("encoder") / "clip.json"
    card = {"library": "open_clip", "architecture": "tiny", "weights": str(tiny_clip)}
    path.write_text(json.dumps({**card, "image_px": 64, "dim": 32}))
    return path


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small videos with `segments.csv`, as a person would write it: no split, words as labels."""
    folder = tmp_path_factory.mktemp("recordings")
    simulate(folder, seed=1, minutes=1.5, mistake_rate=0.4, size_px=64, fps=8)
    rows = [json.loads(line) for line in (folder / "segments.jsonl").read_text().splitlines()]
    (folder / "segments.jsonl").unlink()
    with (folder / "segments.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["recording", "start", "end", "label", "text"])
        for row in rows:
            label = ("correct", "mistake")[row["label"]]
            out.writerow([row["recording"], row["start"], row["end"], label, row["text"]])
    return folder


def test_teach_your_own_ends_with_a_workflow_and_finds_a_rendered_mistake(tmp_path: Path) -> None:
    printed = run(tmp_path, "sh", EXAMPLES / "teach_your_own.sh", MINUTES="2")
    assert "workflows found" in printed
    assert "must come before" in printed
    assert (tmp_path / "my-workflow" / "workflow.toml").is_file()
    assert (tmp_path / "my-workflow.svg").read_text().startswith("<svg")
    labels = [
        json.loads(line)
        for line in (tmp_path / "rendered/wrong/segments.jsonl").read_text().splitlines()
    ]
    first = labels[0]["recording"]
    wrong = [r for r in labels if r["recording"] == first and r["label"]]
    alerts = [json.loads(x) for x in (tmp_path / "my-workflow.jsonl").read_text().splitlines()]
    opened = [a["segment"]["media_start"] for a in alerts if a["phase"] == "new"]
    assert any(r["start"] - 1 <= t <= r["end"] for r in wrong for t in opened)


def test_train_on_your_videos_ends_with_a_bundle_figures_and_a_page(
    tmp_path: Path, recordings: Path, encoder: Path
) -> None:
    script = EXAMPLES / "train_on_your_videos.sh"
    test_folder = tmp_path / "one"
    test_folder.mkdir()
    head, *rows = (recordings / "segments.csv").read_text().splitlines(keepends=True)
    video = rows[0].split(",")[0]
    shutil.copy(recordings / video, test_folder)
    own = [row for row in rows if row.startswith(video)]
    (test_folder / "segments.csv").write_text("".join([head, *own]))
    printed = run(tmp_path, "sh", script, recordings, test_folder, ENCODER=str(encoder))
    card = json.loads((tmp_path / "my-model" / "bundle.json").read_text())
    assert card["frame_encoder"]["architecture"] == "tiny"
    assert "val/roc_auc" in card["metrics"]
    for row in ("always", "never", "Alerts as events", "false_alarms_per_hour"):
        assert row in printed
    assert "<html" in (tmp_path / "my-model.html").read_text()[:2000]
