"""The ablation runs on a miniature copy of the labels and prints every row."""

from __future__ import annotations

import gzip
import json
import runpy
import sys
from pathlib import Path

import pytest

from egomon.train.datasets.holoassist_files import is_held

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "holoassist.py"
COLUMNS = "video,task,id,start,end,correctness,verb,adj,noun,adverbial,explanation,corrected_by"


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Twenty videos in which dropping is wrong."""
    rows = [COLUMNS]
    for video in range(20):
        for k in range(12):
            verb = ("grab", "turn", "drop")[(video + k) % 3]
            kind = '"Wrong Action, not corrected"' if verb == "drop" else "Correct Action"
            rows.append(f"v{video},tea,{k},{2 * k},{2 * k + 1},{kind},{verb},,cup,,,")
    (tmp_path / "fine.csv.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
        runpy.run_path(str(SCRIPT), run_name="__main__")
    return capsys.readouterr().out


def test_the_ablation_names_every_setting_with_its_spread(
    labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = json.loads(run(capsys, labels, "--seeds", 2, "--epochs", 1, "--json"))
    rows = {row["setting"]: row for row in found["rows"]}
    assert {"CE", "CE + AUC", "CE + LA", "the same, no context"} < set(rows)
    assert rows["logistic regression, action"]["roc_auc"] > 0.9  # the verb gives it away
    trained = [row for row in rows.values() if row["seeds"] == 2]
    assert len(trained) == len(rows) - 2
    assert all(0 <= row["roc_auc"] <= 1 and row["roc_auc_sd"] >= 0 for row in trained)
    assert found["n"] == 12 * sum(is_held(f"v{video}") for video in range(20))


def test_a_training_is_timed_on_a_chosen_number_of_segments(
    labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = json.loads(run(capsys, labels, "--time", 150))
    assert 150 <= found["segments"] < 170
    assert found["seconds"] > 0
    assert found["peak_gb"] > 0


def test_nested_folds_are_of_people_and_nothing_is_chosen_on_them(
    labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = json.loads(run(capsys, labels, "--nested", 2, "--epochs", 1, "--json"))
    rows = {row["setting"]: row for row in found["rows"]}
    assert set(rows) == {"logistic, now", "logistic, past", "the recipe", "the same, no context"}
    assert all(row["folds"] == 2 and 0 <= row["roc_auc"] <= 1 for row in rows.values())
    assert rows["logistic, now"]["roc_auc"] > 0.9
