"""What nothing can be learned from is refused by name."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest

from egomon.errors import DataError
from egomon.train.features.recording import RecordingVectors
from egomon.train.teach.input_check import check_recordings, odd_one, still_share


def work(name: str, seconds: float = 30.0, size: tuple[int, int] = (640, 360)) -> RecordingVectors:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    many = int(4 * seconds)
    vectors = 1.0 + rng.normal(scale=0.3, size=(many, 16)).astype(np.float32)
    return RecordingVectors(name, np.arange(many) / 4, vectors.astype(np.float32), size=size)


def test_work_passes() -> None:
    check_recordings([work("a.mp4"), work("b.mp4", size=(1280, 720))])
    assert still_share(work("a.mp4")) == 0.0


def test_a_short_a_still_and_a_turned_recording_are_named() -> None:
    good = work("a.mp4")
    still = replace(good, name="black.mp4", vectors=np.ones_like(good.vectors))
    with pytest.raises(DataError, match=r"short\.mp4 is 3 s long"):
        check_recordings([good, work("short.mp4", 3.25)])
    with pytest.raises(DataError, match=r"black\.mp4 shows the same picture"):
        check_recordings([good, still])
    with pytest.raises(DataError, match=r"turned\.mp4 was filmed upright and others were not"):
        check_recordings([good, work("b.mp4"), work("turned.mp4", size=(360, 640))])
    with pytest.raises(DataError, match=r"wide\.mp4 was filmed across"):
        check_recordings(
            [work("a.mp4", size=(9, 16)), work("b.mp4", size=(9, 16)), work("wide.mp4")]
        )


def test_a_recording_that_is_given_twice_is_named() -> None:
    first, second = (work(f"run{i}.mp4") for i in range(2))
    with pytest.raises(DataError, match=r"again\.mp4 is the same recording as run0\.mp4"):
        check_recordings([first, second, replace(first, name="again.mp4")])


def test_the_noise_of_a_covered_camera_is_no_work() -> None:
    good, other = work("a.mp4"), work("b1.mp4")
    rng = np.random.default_rng(1)
    noise = 1.0 + rng.normal(scale=0.05, size=good.vectors.shape)
    covered = replace(good, name="covered.mp4", vectors=noise.astype(np.float32))
    assert still_share(covered) < 0.5, "not the same picture to the bit"
    with pytest.raises(DataError, match=r"covered\.mp4 shows the same picture"):
        check_recordings([good, other, covered])


def test_a_frozen_half_is_no_reason_to_refuse() -> None:
    good = work("a.mp4")
    vectors = good.vectors.copy()
    vectors[40:100] = vectors[40]
    check_recordings([replace(good, vectors=vectors)])


def test_the_recording_that_looks_unlike_all_others_is_found() -> None:
    good = [work(name) for name in ("a.mp4", "b1.mp4", "c22.mp4")]
    vectors = good[0].vectors.copy()
    vectors[:, :8] *= 8
    other = replace(good[0], name="other.mp4", vectors=vectors)
    assert odd_one([good[0], other, good[1], good[2]]) == "other.mp4"
    assert odd_one(good) is None
    assert odd_one([good[0], other]) is None, "either may be it"
