"""Frame vectors are kept by content, and what is kept never changes what comes out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.branches.interfaces import Float32
from egomon.errors import DataError
from egomon.train.features.encode_pool import BATCH
from egomon.train.features.encode_video import PICTURE_SECONDS, encode_video
from egomon.train.features.vector_cache import VectorCache, vector_key
from egomon.train.simulator.write import write_video

FPS = 10.0


class MeanColour:
    """An encoder that counts its frames."""

    image_px, dim = 16, 3

    def __init__(self, weights: str = "a" * 64) -> None:
        self.weights_sha256, self.frames = weights, 0
        self.card = FrameEncoderCard(
            library="timm", architecture="mean", weights="x", image_px=16, dim=3
        )

    def prepare(self, rgb: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(rgb[:16, :16])

    def encode(self, images: np.ndarray) -> Float32:
        self.frames += len(images)
        return images.mean(axis=(1, 2)).astype(np.float32)


def film(path: Path, seconds: float = 6.0, first: int = 0) -> Path:
    def frames() -> Iterator[np.ndarray]:
        for i in range(int(seconds * FPS)):
            yield np.full((32, 32, 3), first + 2 * i, np.uint8)

    write_video(path, frames(), FPS)
    return path


def test_a_second_look_encodes_nothing_and_gives_the_same(tmp_path: Path) -> None:
    cache, encoder, video = VectorCache(tmp_path / "cache"), MeanColour(), film(tmp_path / "a.mp4")
    first = encode_video(video, encoder, 4.0, cache=cache)
    encoded = encoder.frames
    shares: list[float] = []
    again = encode_video(video, encoder, 4.0, shares.append, cache=cache)
    assert encoder.frames == encoded == len(first.times) == 24
    assert shares == [1.0]
    assert np.array_equal(again.vectors, first.vectors)
    assert np.array_equal(again.times, first.times)
    assert (again.pictures, again.end_seconds) == (first.pictures, first.end_seconds)
    plain = encode_video(video, MeanColour(), 4.0)
    assert np.array_equal(plain.vectors, first.vectors)


def test_the_name_does_not_count_but_content_encoder_and_rate_do(tmp_path: Path) -> None:
    video = film(tmp_path / "a.mp4")
    same = tmp_path / "b.mp4"
    same.write_bytes(video.read_bytes())
    key = vector_key(video, MeanColour(), 4.0)
    assert key is not None
    assert vector_key(same, MeanColour(), 4.0) == key
    others = {
        vector_key(film(tmp_path / "c.mp4", first=9), MeanColour(), 4.0),
        vector_key(video, MeanColour("b" * 64), 4.0),
        vector_key(video, MeanColour(), 5.0),
    }
    assert len(others - {key, None}) == 3
    cache = VectorCache(tmp_path / "cache")
    encode_video(video, MeanColour(), 4.0, cache=cache)
    assert encode_video(same, MeanColour(), 4.0, cache=cache).name == "b.mp4"
    assert cache.size().entries == 1


def test_an_encoder_without_a_name_is_not_cached(tmp_path: Path) -> None:
    encoder, cache = MeanColour(), VectorCache(tmp_path / "cache")
    del encoder.weights_sha256
    encode_video(film(tmp_path / "a.mp4"), encoder, 4.0, cache=cache)
    assert cache.size().entries == 0


@pytest.mark.parametrize("damage", ["cut", "noise", "other"])
def test_a_damaged_entry_is_dropped_and_made_again(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache, video = VectorCache(tmp_path / "cache"), film(tmp_path / "a.mp4")
    first = encode_video(video, MeanColour(), 4.0, cache=cache)
    (entry,) = cache.folder.iterdir()
    if damage == "cut":
        entry.write_bytes(entry.read_bytes()[:500])
    elif damage == "noise":
        entry.write_bytes(b"no archive")
    else:
        np.savez(entry, times=np.zeros(3), vectors=np.zeros((2, 3)))
    encoder = MeanColour()
    again = encode_video(video, encoder, 4.0, cache=cache)
    assert encoder.frames == 24
    assert np.array_equal(again.vectors, first.vectors)
    assert "made again" in caplog.text
    key = vector_key(video, MeanColour(), 4.0)
    assert key is not None
    assert cache.read(key, "a.mp4") is not None


def test_the_least_recently_used_entry_goes_first(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "cache")
    keys = []
    for i in range(3):
        video = film(tmp_path / f"{i}.mp4", first=3 * i)
        if i == 2:
            cache.most_bytes = cache.size().nbytes + 10
        encode_video(video, MeanColour(), 4.0, cache=cache)
        keys.append(vector_key(video, MeanColour(), 4.0) or "")
        for k, key in enumerate(keys):
            if (path := cache.folder / f"{key}.npz").exists():
                os.utime(path, (10.0 - k, 10.0 - k))  # the first is used last
    assert [cache.read(key, "x") is not None for key in keys] == [True, False, True]
    assert cache.size().nbytes <= cache.most_bytes


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = VectorCache(tmp_path / "file" / "cache")
    found = encode_video(film(tmp_path / "a.mp4"), MeanColour(), 4.0, cache=cache)
    assert len(found.times) == 24
    assert "are not kept" in caplog.text


def test_clear_tells_what_there_was(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "cache")
    assert cache.clear().entries == 0
    encode_video(film(tmp_path / "a.mp4"), MeanColour(), 4.0, cache=cache)
    before = cache.size()
    assert before.nbytes > 0
    assert cache.clear() == before
    assert cache.size().entries == 0


def test_frames_are_encoded_in_batches_with_a_picture_now_and_then(tmp_path: Path) -> None:
    sizes: list[int] = []

    class Counting(MeanColour):
        def encode(self, images: np.ndarray) -> Float32:
            sizes.append(len(images))
            return super().encode(images)

    found = encode_video(film(tmp_path / "a.mp4", 10.0), Counting(), 4.0)
    assert sorted(sizes) == [40 % BATCH, *[BATCH] * (40 // BATCH)]
    assert np.all(np.diff(found.vectors[:, 0]) > 0)  # in order of time, whoever was done first
    at = [picture.t_seconds for picture in found.pictures]
    assert at == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert PICTURE_SECONDS == 2.0
    assert found.pictures[0].jpeg[:2] == b"\xff\xd8"
    assert found.end_seconds == pytest.approx(9.9)


def test_an_encoder_that_fails_ends_the_encoding_with_its_error(tmp_path: Path) -> None:
    class Failing(MeanColour):
        def encode(self, images: np.ndarray) -> Float32:
            raise DataError("no")

    with pytest.raises(DataError, match="no"):
        encode_video(film(tmp_path / "a.mp4"), Failing(), 4.0)
