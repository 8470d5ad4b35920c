"""What a bundle was taught from comes back as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from egomon.errors import BundleError, UsageError
from egomon.stream.segmenter import Span
from egomon.train.features.recording import Picture, RecordingVectors
from egomon.train.teach import demonstrations
from egomon.train.teach.demonstrations import (
    DEMONSTRATIONS_FILE,
    KeptRecordings,
    about_of,
    halved,
    read_demonstrations,
    write_demonstrations,
)


class _Encoder:
    weights_sha256 = "ab" * 32


class _Base:
    encoder = _Encoder()


BASE: Any = _Base()


def two() -> tuple[RecordingVectors, ...]:
    rng = np.random.default_rng(0)
    made = []
    for i in range(2):
        vectors = rng.normal(size=(20 + i, 5)).astype(np.float32)
        made.append(
            halved(
                RecordingVectors(
                    f"r{i}.mp4",
                    np.arange(20 + i) / 4,
                    vectors,
                    spans=(Span(0.0, 2.0, "wash"), Span(2.0, 5.0)) if i else None,
                    pictures=(Picture(0.0, b"\xff\xd8one"), Picture(2.0, b"\xff\xd8three")),
                    end_seconds=5.1,
                    size=(640, 360),
                )
            )
        )
    return tuple(made)


def test_recordings_come_back_as_they_were(tmp_path: Path) -> None:
    given = two()
    about = about_of("lite0", BASE, given, ("wash", "dry"), 3.0)
    assert write_demonstrations(tmp_path, KeptRecordings(about, given))
    found = read_demonstrations(tmp_path)
    assert found.about == about
    assert (about.base, about.weights_sha256) == ("lite0", "ab" * 32)
    for one, other in zip(given, found.recordings, strict=True):
        assert np.array_equal(one.vectors, other.vectors)
        assert np.array_equal(one.times, other.times)
        assert (one.name, one.spans, one.pictures) == (other.name, other.spans, other.pictures)
        assert (one.end_seconds, one.size) == (other.end_seconds, other.size)


def test_values_beyond_half_floats_are_cut_and_stay_finite() -> None:
    large = RecordingVectors("x", np.arange(2.0), np.array([[1e9], [-1e9]], np.float32))
    assert np.isfinite(halved(large).vectors).all()


def test_past_the_bound_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demonstrations, "MOST_BYTES", 100)
    about = about_of("lite0", BASE, two(), (), 6.0)
    assert not write_demonstrations(tmp_path, KeptRecordings(about, two()))
    with pytest.raises(UsageError, match="teach it again from all recordings"):
        read_demonstrations(tmp_path)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    about = about_of("lite0", BASE, two(), (), 6.0)
    write_demonstrations(tmp_path, KeptRecordings(about, two()))
    path = tmp_path / DEMONSTRATIONS_FILE
    for damage in (path.read_bytes()[:300], b"nothing"):
        path.write_bytes(damage)
        with pytest.raises(BundleError, match="is damaged"):
            read_demonstrations(tmp_path)
