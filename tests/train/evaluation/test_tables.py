"""The user's own tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from egomon.errors import DataError
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
