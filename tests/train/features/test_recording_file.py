"""Recordings as arrays, played again from their vectors, and vectors of segments by their span."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from feature_sets import LARGE

from egomon.errors import DataError
from egomon.train.features.large_vectors import large_path, large_reader, read_large
from egomon.train.features.npz_files import check_finite, read_arrays
from egomon.train.features.recording import Picture, RecordingVectors, check_vectors
from egomon.train.features.recording_file import pack, unpack
from egomon.train.features.replay_vectors import VectorEncoder, VectorSource, picture_of
from egomon.train.features.rows import SegmentRow
from egomon.train.features.write_feature_set import write_large

RECORDING = RecordingVectors(
    "a.mp4",
    np.array([0.0, 0.25, 0.5]),
    np.arange(6, dtype=np.float32).reshape(3, 2),
    pictures=(Picture(0.0, b"first"), Picture(0.5, b"last!!")),
    end_seconds=0.7,
    size=(640, 360),
)


def test_arrays_give_the_recording_again_under_the_name_it_has_now() -> None:
    found = unpack(pack(RECORDING), "b.mp4")
    assert found.name == "b.mp4"
    np.testing.assert_array_equal(found.times, RECORDING.times)
    np.testing.assert_array_equal(found.vectors, RECORDING.vectors)
    assert (found.pictures, found.end_seconds, found.size) == (
        RECORDING.pictures, 0.7, (640, 360)
    )  # fmt: skip


def test_what_a_recording_lacks_stays_unknown() -> None:
    bare = replace(RECORDING, pictures=(), end_seconds=None, size=None)
    found = unpack(pack(bare), "a.mp4")
    assert (found.pictures, found.size) == ((), None)
    assert found.end_seconds == 0.5, "that of the last row"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"times": np.arange(2.0)}, "do not fit"),
        ({"vectors": np.zeros(3)}, "do not fit"),
        ({"times": np.zeros(0), "vectors": np.zeros((0, 2))}, "do not fit"),
        ({"vectors": np.full((3, 2), np.nan)}, "not finite"),
        ({"times": np.array([0.0, np.inf, 1.0])}, "not finite"),
        ({"picture_sizes": np.array([5, 7])}, "pictures do not fit"),
        ({"picture_sizes": np.array([-1, 12])}, "pictures do not fit"),
        ({"picture_times": np.array([0.0])}, "pictures do not fit"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(
    change: dict[str, np.ndarray], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        unpack(pack(RECORDING) | change, "a.mp4")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"vectors": np.zeros((2, 2), np.float32)}, r"a\.mp4: expected vectors \(N, D\)"),
        ({"times": np.zeros(0), "vectors": np.zeros((0, 2))}, r"found \(0, 2\) and \(0,\)"),
        ({"vectors": np.array([[0, 0], [0, np.inf], [0, 0]])}, "frame 1 has a value"),
        ({"times": np.array([0.0, 0.5, 0.5])}, "frame 2 is not later"),
    ],
)
def test_vectors_that_are_no_recording_are_named_with_their_frame(
    change: dict[str, np.ndarray], told: str
) -> None:
    check_vectors(RECORDING)
    with pytest.raises(DataError, match=told):
        check_vectors(replace(RECORDING, **change))


def test_a_recording_is_played_again_row_by_row_to_its_end() -> None:
    with VectorSource(RECORDING, "cam", 4.0) as source:
        grabs = list(iter(source.read, None))
        assert source.info.duration_seconds == 0.7
        assert [grab.t_seconds for grab in grabs] == [0.0, 0.25, 0.5, 0.7]
        assert [grab.index for grab in grabs] == [0, 1, 2, 3]
    encoder = VectorEncoder(RECORDING)
    pictures = np.stack([encoder.prepare(grab.to_rgb()) for grab in grabs[:3]])
    np.testing.assert_array_equal(encoder.encode(pictures), RECORDING.vectors)
    assert (encoder.dim, encoder.image_px) == (2, 1)


def test_an_end_that_the_last_row_reaches_is_no_further_frame() -> None:
    source = VectorSource(replace(RECORDING, end_seconds=0.5), "cam", 4.0)
    assert len(list(iter(source.read, None))) == 3


def test_a_closed_recording_gives_no_more_frames() -> None:
    source = VectorSource(RECORDING, "cam", 4.0)
    assert source.read() is not None
    source.close()
    assert source.read() is None


@pytest.mark.parametrize("row", [0, 255, 256, 65_535, 65_536, 16_777_215])
def test_a_picture_holds_the_number_of_any_row(row: int) -> None:
    red, green, blue = (int(value) for value in picture_of(row)[0, 0])
    assert 65_536 * red + 256 * green + blue == row


def written(folder: Path) -> list[SegmentRow]:
    rows = [SegmentRow(recording="v", start=float(k), end=k + 1.0) for k in range(3)]
    vectors = {(row.start, row.end): np.full(LARGE.dim, row.start, np.float32) for row in rows}
    write_large(folder, "v", rows, vectors)
    return rows


def test_a_segment_s_vector_is_found_by_its_span(tmp_path: Path) -> None:
    rows = written(tmp_path)
    of = large_reader(tmp_path, LARGE)
    assert [float(of(row)[0]) for row in reversed(rows)] == [2.0, 1.0, 0.0]
    assert of(rows[0]).dtype == np.float32
    with pytest.raises(DataError, match=r"no vector for the segment from 0\.0 to 9\.0 s"):
        of(SegmentRow(recording="v", start=0.0, end=9.0))


def test_a_file_is_read_once(tmp_path: Path) -> None:
    rows = written(tmp_path)
    of = large_reader(tmp_path, LARGE)
    of(rows[0])
    large_path(tmp_path, "v").unlink()
    assert float(of(rows[1])[0]) == 1.0


def test_vectors_that_do_not_fit_the_card_are_refused(tmp_path: Path) -> None:
    path = large_path(tmp_path, "v")
    path.parent.mkdir()
    np.savez(path, features=np.zeros((2, 4), np.float16), spans=np.zeros((2, 2)))
    with pytest.raises(DataError, match=rf"shape \(2, 4\), expected \(S, {LARGE.dim}\)"):
        read_large(tmp_path, "v", LARGE)
    np.savez(path, features=np.zeros((2, LARGE.dim), np.float16))
    with pytest.raises(DataError, match="expected"):
        read_large(tmp_path, "v", LARGE)


def test_a_missing_and_a_damaged_file_are_one_sentence(tmp_path: Path) -> None:
    for content in (None, b"no archive"):
        if content is not None:
            (tmp_path / "v.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"v\.npz cannot be read as features"):
            read_arrays(tmp_path / "v.npz")


def test_the_first_row_that_is_not_finite_is_named() -> None:
    vectors = np.zeros((4, 2), np.float16)
    check_finite(Path("v.npz"), vectors)
    vectors[2, 1] = vectors[3, 0] = np.inf
    with pytest.raises(DataError, match=r"v\.npz: row 2 holds NaN or infinity"):
        check_finite(Path("v.npz"), vectors)
