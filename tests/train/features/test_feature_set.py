"""Feature sets on disk: what is written is read again, and what is broken is named."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from feature_sets import DIM, workshop, write_workshop

from egomon.errors import DataError
from egomon.train.datasets.open import open_data
from egomon.train.features.feature_set import check_two_classes, read_feature_set
from egomon.train.features.write_feature_set import write_bytes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_workshop(tmp_path / "set", recordings=4)


def change_line(folder: Path, number: int, **values: object) -> None:
    path = folder / "segments.jsonl"
    lines = path.read_text().splitlines()
    lines[number - 1] = json.dumps({**json.loads(lines[number - 1]), **values})
    path.write_text("\n".join(lines) + "\n")


def test_a_written_set_is_read_again(folder: Path) -> None:
    data, again = workshop(recordings=4), read_feature_set(folder)
    assert again.segments == data.segments
    assert again.card == data.card
    assert np.array_equal(again.track("rec01").vectors, data.track("rec01").vectors)
    assert np.array_equal(again.track("rec01").times, data.track("rec01").times)


def test_a_missing_recording_is_named(folder: Path) -> None:
    (folder / "features" / "rec02.npz").unlink()
    with pytest.raises(DataError, match=r"rec02"):
        open_data(folder)


def test_nan_is_named_with_its_row(folder: Path) -> None:
    vectors = np.ones((24, DIM), np.float16)
    vectors[7, 3] = np.nan
    np.savez(folder / "features" / "rec01.npz", features=vectors)
    with pytest.raises(DataError, match=r"rec01\.npz: row 7 holds NaN"):
        open_data(folder).track("rec01")


def test_another_dimension_is_refused(folder: Path) -> None:
    np.savez(folder / "features" / "rec01.npz", features=np.ones((24, DIM + 1), np.float16))
    with pytest.raises(DataError, match=r"expected \(N, 16\)"):
        open_data(folder).track("rec01")
    encoder = msgspec.structs.replace(workshop(4).card.encoder, dim=DIM + 1)
    with pytest.raises(DataError, match="16 numbers"):
        open_data(folder, encoder)


def test_a_damaged_file_is_named(folder: Path) -> None:
    path = folder / "features" / "rec00.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"rec00\.npz"):
        open_data(folder).track("rec00")


def test_a_recording_in_two_splits_is_refused(folder: Path) -> None:
    change_line(folder, 2, split="test")
    with pytest.raises(DataError, match=r"segment 2: recording 'rec00' is in the splits"):
        open_data(folder)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"end": 0.0}, "0 <= start < end"),
        ({"label": 2}, "label 2"),
        ({"recording": "../x"}, "plain file name"),
        ({"start": "soon"}, "start"),
        ({"context_start": 99.0}, "context_start"),
    ],
)
def test_a_bad_row_is_named_by_line(folder: Path, values: dict[str, object], told: str) -> None:
    change_line(folder, 3, **values)
    with pytest.raises(DataError, match=rf"segments\.jsonl, line 3.*{told}"):
        open_data(folder)


def test_one_class_cannot_be_trained_on() -> None:
    data = workshop(4).select(["rec00", "rec02"])
    with pytest.raises(DataError, match="label 0"):
        check_two_classes(data)


def test_a_foreign_folder_is_refused_with_the_known_layouts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"CaptainCook4D.*HoloAssist"):
        open_data(tmp_path)


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a" / "x", b"old")
    write_bytes(tmp_path / "a" / "x", b"new")
    assert (tmp_path / "a" / "x").read_bytes() == b"new"
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["x"]
