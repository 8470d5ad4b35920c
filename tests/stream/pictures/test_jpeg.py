"""JPEG pictures show the colours that went in, whoever reads them."""

from __future__ import annotations

from itertools import product

import av
import cv2
import numpy as np
import pytest

from egomon.stream.frame import UInt8Image
from egomon.stream.pictures.jpeg import COARSE, FINE, MEDIUM, jpeg_of
from egomon.stream.sources.decoding.jpeg import JpegDecoder


def read(jpeg: bytes) -> UInt8Image:
    """As libjpeg reads it."""
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1])


def plain(colour: tuple[int, int, int], width: int = 40, height: int = 24) -> UInt8Image:
    return np.full((height, width, 3), colour, np.uint8)


def textured(width: int = 320, height: int = 200) -> UInt8Image:
    """Blurred colours: few of a camera's pictures have more contrast from pixel to pixel."""
    dots = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(dots, (0, 0), 2.5), np.uint8)


@pytest.mark.parametrize("full_colour", [False, True])
def test_colours_come_back_in_full_range_to_two_steps_of_256(full_colour: bool) -> None:
    for colour in product((0, 77, 255), repeat=3):
        picture = plain(colour)
        jpeg = jpeg_of(picture, full_colour=full_colour)
        for found in (read(jpeg), JpegDecoder()(jpeg)):
            assert found is not None
            assert np.abs(found.astype(int) - picture).max() <= 2, colour


@pytest.mark.parametrize("full_colour", [False, True])
def test_no_colour_is_brighter_or_darker_on_the_whole(full_colour: bool) -> None:
    picture = textured()
    found = read(jpeg_of(picture, quantizer=FINE, full_colour=full_colour))
    # FFmpeg's own way to 8 bits has -.7, .5 and -.7.
    assert np.abs((found.astype(float) - picture).mean(axis=(0, 1))).max() < 0.4


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (17, 33), (3001, 7), (7, 3001)])
@pytest.mark.parametrize("full_colour", [False, True])
def test_a_picture_of_any_size_keeps_it(size: tuple[int, int], full_colour: bool) -> None:
    width, height = size
    picture = plain((200, 90, 30), width, height)
    found = read(jpeg_of(picture, full_colour=full_colour))
    assert found.shape == picture.shape
    assert np.abs(found.astype(int) - picture).max() <= 2


def test_it_is_a_jfif_file_with_the_same_bytes_every_time() -> None:
    picture = textured()
    jpeg = jpeg_of(picture)
    assert jpeg[:4] == b"\xff\xd8\xff\xe0"
    assert jpeg[6:11] == b"JFIF\0"
    assert jpeg[-2:] == b"\xff\xd9"
    assert b"Lavc" not in jpeg
    assert jpeg == jpeg_of(picture)


def test_a_lower_quantizer_costs_bytes_and_shows_more() -> None:
    picture = textured()
    made = [jpeg_of(picture, quantizer=each) for each in (FINE, MEDIUM, COARSE)]
    wrong = [np.square(read(each).astype(float) - picture).mean() for each in made]
    assert sorted(map(len, made), reverse=True) == [len(each) for each in made]
    assert sorted(wrong) == wrong
    assert jpeg_of(picture) == made[1]


def test_colour_in_full_keeps_edges_that_differ_in_colour_only() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, ::2], picture[:, 1::2] = (200, 60, 60), (60, 131, 60)  # equally bright
    half, full = (
        np.abs(read(jpeg_of(picture, full_colour=each)).astype(int) - picture).mean()
        for each in (False, True)
    )
    assert full < 6 < half


def test_a_cut_of_a_picture_and_one_that_is_read_only_are_taken() -> None:
    picture = textured()
    cut = picture[3:51, 5:69]
    assert not cut.flags.c_contiguous
    cut.flags.writeable = False
    assert jpeg_of(cut) == jpeg_of(cut.copy())


def test_a_side_that_no_jpeg_can_have_is_an_error_of_ffmpegs() -> None:
    with pytest.raises(av.FFmpegError):
        jpeg_of(plain((0, 0, 0), 70_000, 1))
