"""Draws the gaze of the wearer as a ring on a picture."""

from __future__ import annotations

import numpy as np

from egomon.branches.bundle.card import Preprocessing
from egomon.stream.frame import Frame, UInt8Image

RADIUS_SHARE = 0.04
"""Radius as a share of the picture's width."""
LEAST_RADIUS_PX = 5
DARK, BRIGHT = ((0, 0, 0), 7), ((255, 220, 0), 4)
"""Colour and width in pixels of both rings: one of the two is visible on any background."""


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
    drawn = picture.copy()
    radius = max(LEAST_RADIUS_PX, round(RADIUS_SHARE * wide))
    _draw_rings(drawn, round(x * (wide - 1)), round(y * (high - 1)), radius)
    return drawn


def _draw_rings(picture: UInt8Image, x: int, y: int, radius: int) -> None:
    """Draw both rings around a pixel, with soft edges."""
    reach = radius + DARK[1]
    top, left = max(0, y - reach), max(0, x - reach)
    part = picture[top : y + reach + 1, left : x + reach + 1]
    rows, columns = np.indices(part.shape[:2])
    from_ring = np.abs(np.hypot(rows + top - y, columns + left - x) - radius)
    for colour, width in (DARK, BRIGHT):
        share = np.clip((width + 1) / 2 - from_ring, 0, 1)[..., None]
        part[:] = np.rint(part + share * (np.array(colour) - part))


def _shown(size: tuple[int, int], used: Preprocessing) -> tuple[float, float]:
    """Width and height in the source's pixels of what the square shows."""
    if used.crop == "letterbox":
        return max(size), max(size)
    if used.crop == "squash":
        return size[0] * used.crop_pct, size[1] * used.crop_pct
    return min(size) * used.crop_pct, min(size) * used.crop_pct
