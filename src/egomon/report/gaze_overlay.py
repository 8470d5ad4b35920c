"""Draws the gaze of the wearer as a ring on a picture."""

from __future__ import annotations

import cv2
import numpy as np

from egomon.branches.bundle.card import Preprocessing
from egomon.stream.frame import Frame, UInt8Image

RADIUS_SHARE = 0.04
"""Radius as a share of the picture's width."""
LEAST_RADIUS_PX = 5
DARK, BRIGHT = (0, 0, 0), (255, 220, 0)
"""Dark and light ring: one of the two is visible on any background."""


def ringed(
    picture: UInt8Image, frame: Frame, size: tuple[int, int] | None, used: Preprocessing
) -> UInt8Image:
    """Return the picture with the ring; the picture itself without gaze.

    Args:
        picture: what `picture_of` makes of the frame, RGB (H, W, 3).
        frame: its gaze is in shares of the whole picture of the source.
        size: width and height of the source.
        used: how the frame encoder cut it to a square, which is shown where the frame has no
            `detail`.
    """
    gaze = frame.gaze
    if gaze is None or not gaze.worn:
        return picture
    x, y = gaze.x, gaze.y
    if frame.detail is None and size is not None and min(size) > 0:
        wide, high = _shown(size, used)
        x, y = 0.5 + (x - 0.5) * size[0] / wide, 0.5 + (y - 0.5) * size[1] / high
    if not (0 <= x <= 1 and 0 <= y <= 1):
        return picture
    high, wide = picture.shape[:2]
    middle = round(x * (wide - 1)), round(y * (high - 1))
    radius = max(LEAST_RADIUS_PX, round(RADIUS_SHARE * wide))
    drawn = picture.copy()
    for colour, thick in ((DARK, 5), (BRIGHT, 2)):
        cv2.circle(drawn, middle, radius, colour, thick, cv2.LINE_AA)
    return np.asarray(drawn, np.uint8)


def _shown(size: tuple[int, int], used: Preprocessing) -> tuple[float, float]:
    """Width and height in the source's pixels of what the square shows."""
    if used.crop == "letterbox":
        return max(size), max(size)
    if used.crop == "squash":
        return size[0] * used.crop_pct, size[1] * used.crop_pct
    return min(size) * used.crop_pct, min(size) * used.crop_pct
