"""The beginnings of recordings that an interrupted extraction leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from egomon.train.extraction.partial import (
    PartialVectors,
    partial_path,
    read_partial,
    write_partial,
)
from egomon.train.features.rows import SegmentRow


def known(frames: int = 4) -> PartialVectors:
    times = np.arange(frames) / 2
    vectors = np.arange(frames * 3, dtype=np.float16).reshape(frames, 3)
    return PartialVectors(times, vectors, large={(0.0, 1.0): np.array([0.5, 0.25], np.float16)})


def rows(*starts: float) -> list[SegmentRow]:
    return [SegmentRow(recording="v", start=start, end=start + 1.0) for start in starts]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = partial_path(tmp_path, "v")
    assert path == tmp_path / "partial" / "v.npz"
    write_partial(path, "k", known())
    found = read_partial(path, "k", 3)
    assert found is not None
    np.testing.assert_array_equal(found.times, known().times)
    np.testing.assert_array_equal(found.vectors, known().vectors)
    assert list(found.large) == [(0.0, 1.0)]
    assert found.large[0.0, 1.0].tolist() == [0.5, 0.25]
    assert not found.whole, "a beginning, whatever was known"


def test_without_vectors_of_the_large_branch_there_are_none(tmp_path: Path) -> None:
    write_partial(tmp_path / "v.npz", "k", PartialVectors.empty(3))
    found = read_partial(tmp_path / "v.npz", "k", 3)
    assert found is not None
    assert (len(found.times), found.vectors.shape, found.large) == (0, (0, 3), {})


@pytest.mark.parametrize(("key", "dim"), [("other", 3), ("k", 4)])
def test_another_video_or_encoder_makes_it_worthless(tmp_path: Path, key: str, dim: int) -> None:
    write_partial(tmp_path / "v.npz", "k", known())
    assert read_partial(tmp_path / "v.npz", key, dim) is None


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 no archive", b"x" * 300])
def test_a_file_that_is_missing_or_damaged_is_as_none(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "v.npz").write_bytes(content)
    assert read_partial(tmp_path / "v.npz", "k", 3) is None


def test_an_archive_that_lacks_an_array_or_counts_otherwise_is_as_none(tmp_path: Path) -> None:
    whole = {
        "key": np.array("k"),
        "times": np.arange(2.0),
        "features": np.zeros((2, 3), np.float16),
        "spans": np.zeros((1, 2)),
        "large": np.zeros((1, 2), np.float16),
    }
    for name in whole:
        np.savez(tmp_path / "v.npz", **{k: v for k, v in whole.items() if k != name})
        assert read_partial(tmp_path / "v.npz", "k", 3) is None, name
    np.savez(tmp_path / "v.npz", **(whole | {"large": np.zeros((2, 2), np.float16)}))
    assert read_partial(tmp_path / "v.npz", "k", 3) is None
    np.savez(tmp_path / "v.npz", **(whole | {"times": np.arange(3.0)}))
    assert read_partial(tmp_path / "v.npz", "k", 3) is None
    np.savez(tmp_path / "v.npz", **whole)
    assert read_partial(tmp_path / "v.npz", "k", 3) is not None


def test_a_cut_keeps_the_first_frames_and_all_clips() -> None:
    cut = known().cut(3)
    assert cut.times.tolist() == [0.0, 0.5, 1.0]
    assert cut.vectors.shape == (3, 3)
    assert list(cut.large) == [(0.0, 1.0)]


@pytest.mark.parametrize(
    ("starts", "row"),
    [
        ((0.0,), 4),  # known: go on after the last frame
        ((0.0, 1.0), 1),  # the frame at 1.0 is row 2, and the one before it may be needed
        ((1.2,), 2),
        ((0.2, 1.5), 0),
        ((9.0,), 3),  # after all that is known
        ((), 4),
    ],
)
def test_reading_begins_again_one_frame_before_the_first_missing_clip(
    starts: tuple[float, ...], row: int
) -> None:
    assert known().first_row(rows(*starts)) == row
