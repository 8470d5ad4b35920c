"""Scaled pictures hold the means of what they show."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from egomon.stream.frame import UInt8Image
from egomon.stream.pictures.scaling import scaled, shrunk


def dots(width: int, height: int) -> UInt8Image:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("size", [(160, 120), (107, 71), (33, 64), (8, 8)])
def test_a_smaller_picture_is_the_mean_of_what_each_pixel_covers(size: tuple[int, int]) -> None:
    picture = dots(320, 240)
    found = scaled(picture, *size)
    assert found.flags.c_contiguous
    # One step of 256 for rounding on the way, and as much at the end.
    want = cv2.resize(picture.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    assert found.shape == want.shape
    assert np.abs(found - want).max() <= 2


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 255), (1, 2, 3), (254, 128, 0)])
@pytest.mark.parametrize("size", [(1, 1), (9, 40), (64, 31), (200, 150)])
def test_one_colour_stays_that_colour(colour: tuple[int, int, int], size: tuple[int, int]) -> None:
    found = scaled(np.full((48, 64, 3), colour, np.uint8), *size)
    assert found.shape == (size[1], size[0], 3)
    assert (found == colour).all()


def test_a_larger_picture_goes_smoothly_from_colour_to_colour() -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[:, 2:] = 240
    found = scaled(picture, 24, 8).astype(int)
    assert (found[:, 0] == 0).all()
    assert (found[:, -1] == 240).all()
    assert np.diff(found, axis=1).min() >= 0
    assert np.diff(found, axis=1).max() <= 40


def test_a_picture_that_has_the_size_is_given_as_it_is() -> None:
    picture = dots(64, 48)
    assert scaled(picture, 64, 48) is picture
    assert shrunk(picture, 64) is picture


def test_a_picture_is_shrunk_in_its_own_proportions() -> None:
    assert shrunk(dots(64, 48), 32).shape == (24, 32, 3)
    assert shrunk(dots(640, 3), 32).shape == (2, 32, 3)
    cut = dots(100, 80)[:, 10:74]
    assert np.array_equal(shrunk(cut, 32), shrunk(cut.copy(), 32))
