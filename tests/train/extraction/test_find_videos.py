"""Which videos of a folder are extracted, and with which segments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from egomon.errors import DataError, UsageError
from egomon.train.extraction.find_videos import LabelledVideo, Shard, find_videos
from egomon.train.features.rows import SegmentRow


def folder_of(path: Path, videos: list[str], named: list[str]) -> Path:
    for video in videos:
        (path / video).parent.mkdir(parents=True, exist_ok=True)
        (path / video).touch()
    rows = [{"recording": name, "start": k, "end": k + 1} for k, name in enumerate(named)]
    (path / "segments.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_rows_keep_their_order_and_videos_are_sorted_by_name(tmp_path: Path) -> None:
    folder_of(tmp_path, ["b.mp4", "a.MOV", "c.webm", "notes.txt"], ["b", "a.MOV", "b.mp4"])
    rows, videos = find_videos(tmp_path)
    assert [(row.recording, row.start) for row in rows] == [("b", 0.0), ("a", 1.0), ("b", 2.0)]
    assert [(v.name, v.path.name, len(v.rows)) for v in videos] == [
        ("a", "a.MOV", 1), ("b", "b.mp4", 2)
    ]  # fmt: skip


def test_a_dot_in_a_name_is_no_suffix_of_a_video(tmp_path: Path) -> None:
    folder_of(tmp_path, ["day.1.mp4"], ["day.1"])
    assert [video.name for video in find_videos(tmp_path)[1]] == ["day.1"]


def test_a_segment_without_its_video_is_named(tmp_path: Path) -> None:
    folder_of(tmp_path, ["a.mp4"], ["a", "z", "y"])
    with pytest.raises(DataError, match="a segment names 'y', but there is no such video beside"):
        find_videos(tmp_path)


def test_given_rows_replace_those_beside_the_videos(tmp_path: Path) -> None:
    folder_of(tmp_path, ["a.mp4", "b.mp4"], ["a"])
    row = SegmentRow(recording="b", start=3.0, end=4.0)
    assert find_videos(tmp_path, [row]) == (
        [row], [LabelledVideo("b", tmp_path / "b.mp4", (row,))]
    )  # fmt: skip


def test_a_tree_as_holoassist_publishes_it_is_read_by_the_names_of_its_folders(
    tmp_path: Path,
) -> None:
    inner = "R1/Export_py/Video_pitchshift.mp4"
    folder_of(tmp_path, [inner, "R1.mp4", "R2.mp4"], ["R1", "R2"])
    _, videos = find_videos(tmp_path)
    assert [video.path for video in videos] == [tmp_path / inner, tmp_path / "R2.mp4"]


def test_a_folder_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as a folder"):
        find_videos(tmp_path / "none")


@pytest.mark.parametrize("text", ["", "0/2", "3/2", "1", "1/2/3", "-1/2", "a/b", "1/0", "1 / 2"])
def test_a_shard_is_a_number_of_a_number(text: str) -> None:
    with pytest.raises(UsageError, match="is not I/N"):
        Shard.parse(text)


def test_shards_deal_a_list_out() -> None:
    dealt = [Shard.parse(f"{k}/3").of("abcdefg") for k in (1, 2, 3)]
    assert dealt == [["a", "d", "g"], ["b", "e"], ["c", "f"]]
    assert str(Shard.parse("2/3")) == "2/3"
