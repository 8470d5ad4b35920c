"""Tables of segments as Excel and others write them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egomon.config import read_config
from egomon.errors import DataError
from egomon.train.datasets.table import read_table_file

PLAIN = "recording,start,end,label,text\r\nbase,0.5,4,correct,Schl\xfcssel\r\n"
BOM = "\ufeff"


@pytest.mark.parametrize(
    "body",
    [
        PLAIN.encode(),
        PLAIN.encode("cp1252"),
        (BOM + PLAIN.replace(",", "\t")).encode("utf-16-le"),
        (BOM + PLAIN.replace(",", ";")).encode(),
        (BOM + PLAIN.replace(",", ";").replace("0.5", "0,5")).encode(),
        (PLAIN + ",,,,\r\n,,,,\r\n\r\n").encode(),
        PLAIN.replace(",", ", ").encode(),
        PLAIN.replace("recording,start", "Recording,START").replace("correct", "Correct").encode(),
        PLAIN.replace("0.5,4", "00:00.5,00:04").encode(),
        ("sep=;\r\n" + PLAIN.replace(",", ";")).encode(),
        (",,,,\r\n\r\n" + PLAIN).encode(),
        ("," + PLAIN.replace("\nbase", "\n0,base")).encode(),
        PLAIN.replace("\r\n", "\r").encode(),
    ],
    ids=[
        *("utf8", "cp1252", "utf16", "semi", "comma", "trail", "spaces", "upper", "clock"),
        *("sep", "empty-above", "row-numbers", "cr"),
    ],
)
def test_a_table_reads_the_same_however_the_spreadsheet_wrote_it(
    body: bytes, tmp_path: Path
) -> None:
    (tmp_path / "segments.csv").write_bytes(body)
    (row,) = read_table_file(tmp_path / "segments.csv")
    assert (row.recording, row.start, row.end, row.label) == ("base", 0.5, 4.0, 0)
    assert row.text == "Schl\xfcssel"


def test_a_time_that_is_none_is_named_with_its_row_and_what_to_write(tmp_path: Path) -> None:
    path = tmp_path / "segments.csv"
    path.write_text(PLAIN + "base,soon,4,correct,x\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"row 2: .*'soon'; write start and end in seconds"):
        read_table_file(path)


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=80) | st.text(max_size=60).map(lambda text: (PLAIN + text).encode()))
def test_whatever_a_table_holds_it_is_read_or_refused(
    body: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    path.write_bytes(body)
    with contextlib.suppress(DataError):
        assert read_table_file(path)


def test_a_settings_file_of_an_editor_that_marks_its_encoding_is_read(tmp_path: Path) -> None:
    path = tmp_path / "egomon.toml"
    path.write_text("[store]\nkeep_days = 3\n", encoding="utf-8-sig")
    assert read_config(path) == {"store": {"keep_days": 3}}


def test_a_recording_whose_name_holds_nul_is_named_with_its_row(tmp_path: Path) -> None:
    path = tmp_path / "segments.csv"
    path.write_text(PLAIN.replace("base", "ba\0se"), encoding="utf-8")
    with pytest.raises(DataError, match=r"row 1: recording 'ba\\x00se' is no plain file name"):
        read_table_file(path)
