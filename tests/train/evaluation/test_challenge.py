"""The challenge's prediction file: every clip answered, from the right segment."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from feature_sets import workshop, write_workshop
from typer.testing import CliRunner

from egomon.branches.bundle.card import StreamCard
from egomon.cli.app import app
from egomon.errors import DataError
from egomon.train.evaluation.challenge import (
    challenge,
    check_submission,
    read_clips,
    write_submission,
)
from egomon.train.evaluation.evaluate import evaluate_features
from egomon.train.features.write_feature_set import write_index
from egomon.train.fitting.fit import train
from egomon.train.fitting.recipe import Recipe

RECIPE = Recipe(
    name="shop",
    description="test",
    stream=StreamCard(fps=1.0, fine_frames=16, context_frames=64),
    epochs=3,
    width=16,
    batch=32,
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("challenge") / "bundle"
    train(RECIPE, workshop(), folder, quiet=True)
    return folder


def test_a_submission_answers_every_clip_with_python_floats(tmp_path: Path) -> None:
    listed = tmp_path / "clips.txt"
    listed.write_text("R1_a_b_6.990_8.0\nR1_a_b_8.0_9.5\nR2_0.0_1.0\n")
    clips = read_clips(listed)
    assert clips[0] == ("R1_a_b", 6.99, 8.0)
    write_submission(tmp_path / "out.json", clips, {clips[0]: True, clips[1]: False})
    assert json.loads((tmp_path / "out.json").read_text()) == {
        "modality": "RGB",
        "R1_a_b_6.99_8.0": 1,
        "R1_a_b_8.0_9.5": 0,
        "R2_0.0_1.0": 0,
    }
    assert check_submission(tmp_path / "out.json", clips) == 1


def test_a_stray_score_and_a_broken_line_are_named(tmp_path: Path) -> None:
    listed = tmp_path / "clips.txt"
    listed.write_text("R1_1.0_2.0\nnonsense\n")
    with pytest.raises(DataError, match="line 2"):
        read_clips(listed)
    with pytest.raises(DataError, match=r"R9_1\.0_2\.0"):
        write_submission(tmp_path / "x", [("R1", 1.0, 2.0)], {("R9", 1.0, 2.0): True})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "one object with modality"),
        ("{", "no prediction file"),
        ('{"R1_1.0_2.0": 1}', "modality RGB"),
        ('{"modality": "RGB"}', "does not answer 'R1_1.0_2.0'"),
        ('{"modality": "RGB", "R1_1.0_2.0": true}', "is True, not 0 or 1"),
        ('{"modality": "RGB", "R1_1.0_2.0": 0.5}', "is 0.5, not 0 or 1"),
        ('{"modality": "RGB", "R1_1.0_2.0": 0, "R1_1.0_2.00": 0}', "not in the list"),
    ],
)
def test_a_file_that_a_server_would_refuse_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "out.json"
    path.write_text(text)
    with pytest.raises(DataError, match=told):
        check_submission(path, [("R1", 1.0, 2.0)])


@pytest.mark.parametrize("context", ["causal", "offline"])
def test_answers_are_what_evaluation_says_about_the_same_segments(
    bundle: Path, tmp_path: Path, context: str
) -> None:
    out = tmp_path / "out.json"
    told = challenge(bundle, workshop(8, seed=3), out, context=context)
    report = evaluate_features(bundle, workshop(8, seed=3), context=context)
    answers = json.loads(out.read_text())
    del answers["modality"]
    assert list(answers.values()) == (report.p >= report.threshold).astype(int).tolist()
    assert (told.clips, told.scored, told.mistakes) == (32, 32, sum(answers.values()))
    assert 0 < told.mistakes < 32


def test_segments_without_labels_are_answered_in_the_order_of_the_list(
    bundle: Path, tmp_path: Path
) -> None:
    folder = write_workshop(tmp_path / "set", 4)
    data = workshop(4)
    write_index(folder, data.card, [msgspec.structs.replace(r, label=None) for r in data.segments])
    listed = tmp_path / "clips.txt"
    listed.write_text("rec01_6.000_12.0\nother_1.0_2.0\nrec00_0.0_6.0\n")
    args = ["--model", bundle, "--data", folder, "--clips", listed, "--threshold", "0"]
    args += ["--context", "offline", "-o", tmp_path / "out.json", "--json"]
    result = CliRunner().invoke(app, ["challenge", *map(str, args)])
    assert result.exit_code == 0, result.exception
    told = json.loads(result.stdout)
    assert (told["clips"], told["scored"], told["context"]) == (3, 2, "offline")
    assert json.loads((tmp_path / "out.json").read_text()) == {
        "modality": "RGB",
        "rec01_6.0_12.0": 1,
        "other_1.0_2.0": 0,
        "rec00_0.0_6.0": 1,
    }


def test_a_clip_may_begin_with_its_coarse_action(bundle: Path, tmp_path: Path) -> None:
    data = workshop(2)
    rows = tuple(
        msgspec.structs.replace(r, context_start=r.start // 12 * 12) for r in data.segments
    )
    listed = tmp_path / "clips.txt"
    listed.write_text("rec01_12.0_24.0\n")
    told = challenge(bundle, replace(data, segments=rows), tmp_path / "o.json", clips=listed)
    assert (told.clips, told.scored) == (1, 1)


def test_a_list_of_other_videos_is_refused(bundle: Path, tmp_path: Path) -> None:
    listed = tmp_path / "clips.txt"
    listed.write_text("other_1.0_2.0\n")
    with pytest.raises(DataError, match=r"other_1\.0_2\.0 is not among its segments"):
        challenge(bundle, workshop(4), tmp_path / "o.json", clips=listed)


def test_the_label_track_answers_in_seconds_of_the_video(tmp_path: Path) -> None:
    head = "video,task,id,start,end,correctness,verb,adj,noun,adverbial,explanation,corrected_by"
    rows = [
        f"v{n},tea,{k},{1.5 * k},{1.5 * k + 1},{kind},grab,,cup,,,"
        for n in range(12)
        for k, kind in ((1, "Correct Action"), (2, "Wrong Action not corrected"))
    ]
    (tmp_path / "fine.csv.gz").write_bytes(gzip.compress("\n".join([head, *rows]).encode()))
    train(RECIPE, tmp_path, tmp_path / "bundle", quiet=True)
    challenge(tmp_path / "bundle", tmp_path, tmp_path / "o.json")
    assert {"v3_1.5_2.5", "v11_3.0_4.0"} <= set(json.loads((tmp_path / "o.json").read_text()))
