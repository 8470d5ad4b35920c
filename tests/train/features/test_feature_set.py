"""Feature sets on disk: what is written is read again, and what is broken is named."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from feature_sets import DIM, workshop, write_workshop

from egomon.errors import DataError
from egomon.train.datasets.open import open_data
from egomon.train.features.feature_set import check_two_classes, read_feature_set, read_track
from egomon.train.features.write_feature_set import write_bytes, write_index


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


def test_a_part_is_chosen_by_recording_split_or_label() -> None:
    data = workshop(recordings=12)
    assert data.select(["rec03", "rec01", "none"]).recordings == ["rec01", "rec03"]
    assert {row.split for row in data.split("val").segments} == {"val"}
    with pytest.raises(DataError, match="no segment of split 'test'; it has: train, val"):
        data.split("test")
    unknown = tuple(msgspec.structs.replace(row, label=None) for row in data.segments)
    mixed = dataclasses.replace(data, segments=(*unknown[:8], *data.segments[8:]))
    assert len(mixed.labelled().segments) == len(data.segments) - 8
    assert mixed.labels[:9].tolist() == [-1] * 8 + [0]
    with pytest.raises(DataError, match="no labelled segment; set label to 0 or 1"):
        dataclasses.replace(data, segments=unknown).labelled()


def test_hours_are_those_of_the_recordings_that_are_there() -> None:
    data = workshop(recordings=3)
    assert data.stream_hours() == pytest.approx(3 * 24 / 3600)
    assert data.select(["rec01"]).stream_hours() == pytest.approx(24 / 3600)
    timed = dataclasses.replace(data, hours={"rec00": 1.0, "rec01": 2.0, "rec02": 4.0})
    assert timed.stream_hours() == 7.0
    assert timed.select(["rec00", "rec02"]).stream_hours() == 5.0


def test_rows_without_times_lie_on_the_grid_of_the_card(folder: Path) -> None:
    np.savez(folder / "features" / "rec01.npz", features=np.ones((3, DIM), np.float16))
    card = msgspec.structs.replace(open_data(folder).card, fps=4.0, offset_seconds=0.5)
    assert read_track(folder, "rec01", card).times.tolist() == [0.5, 0.75, 1.0]


@pytest.mark.parametrize("times", [np.arange(2.0), np.array([0.0, 1.0, 1.0])])
def test_times_must_ascend_and_be_as_many_as_the_rows(folder: Path, times: np.ndarray) -> None:
    path = folder / "features" / "rec01.npz"
    np.savez(path, features=np.ones((3, DIM), np.float16), times=times)
    with pytest.raises(DataError, match="times must be ascending, one for each of 3 rows"):
        open_data(folder).track("rec01")


def test_an_index_that_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    data = workshop(recordings=1)
    bad = msgspec.structs.replace(data.segments[1], end=0.0)
    with pytest.raises(DataError, match="segment 2: start"):
        write_index(tmp_path, data.card, [data.segments[0], bad])
    assert not list(tmp_path.iterdir())
