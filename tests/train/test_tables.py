"""The user's own tables, and the challenge's prediction file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from egomon.errors import DataError
from egomon.train.challenge import read_clips, write_submission
from egomon.train.datasets.table import read_table


def test_a_spreadsheet_is_read_with_its_labels_and_tags(tmp_path: Path) -> None:
    (tmp_path / "segments.csv").write_text(
        "﻿recording,start,end,label,tags,text\n"
        "a.mp4,0,2.5,correct,,lift\n"
        "a.mp4,2.5,4,Mistake,order; slip,turn\n"
        "a.mp4,4,5,,,\n",
        encoding="utf-8",
    )
    rows = read_table(tmp_path)
    assert [row.label for row in rows] == [0, 1, None]
    assert rows[1].tags == ("order", "slip")
    assert (rows[1].start, rows[1].end, rows[1].text) == (2.5, 4.0, "turn")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("recording,start,end\na,0,1\n", "no column 'label'"),
        ("recording,start,end,label\na,0,1,maybe\n", r"segments\.csv, row 1: label 'maybe'"),
        ("recording,start,end,label\na,0,1,0\na,3,2,0\n", r"row 2: start 3\.0 and end 2\.0"),
        ("recording,start,end,label\na,x,1,0\n", "row 1"),
        ("recording,start,end,label\n", "holds no segment"),
    ],
)
def test_a_broken_spreadsheet_is_named_by_row(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "segments.csv").write_text(text)
    with pytest.raises(DataError, match=told):
        read_table(tmp_path)


def test_a_submission_answers_every_clip_with_python_floats(tmp_path: Path) -> None:
    listed = tmp_path / "clips.txt"
    listed.write_text("R1_a_b_6.990_8.0\nR1_a_b_8.0_9.5\nR2_0.0_1.0\n")
    clips = read_clips(listed)
    assert clips[0] == ("R1_a_b", 6.99, 8.0)
    scores = {clips[0]: 0.7, clips[1]: 0.2}
    assert write_submission(tmp_path / "out.json", clips, scores, threshold=0.5) == 1
    assert json.loads((tmp_path / "out.json").read_text()) == {
        "modality": "RGB",
        "R1_a_b_6.99_8.0": 1,
        "R1_a_b_8.0_9.5": 0,
        "R2_0.0_1.0": 0,
    }


def test_a_stray_score_and_a_broken_line_are_named(tmp_path: Path) -> None:
    listed = tmp_path / "clips.txt"
    listed.write_text("R1_1.0_2.0\nnonsense\n")
    with pytest.raises(DataError, match="line 2"):
        read_clips(listed)
    with pytest.raises(DataError, match=r"R9_1\.0_2\.0"):
        write_submission(tmp_path / "x", [("R1", 1.0, 2.0)], {("R9", 1.0, 2.0): 0.5}, 0.5)
