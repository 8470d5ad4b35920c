"""How a decoded picture has to be turned, mirrored and stretched to be shown."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type

from egomon.stream.frame import UInt8Image

Orientation = tuple[int, int, int, int]
"""(a, b, c, d): what is stored at (x, y) is shown at (ax + cy, bx + dy), up to a shift."""
UPRIGHT: Orientation = (1, 0, 0, 1)
ASPECTS = (0.25, 4.0)
"""Pixels that are said to be narrower or wider than these are a writer's error."""


def orientation_of(frame: av.VideoFrame, before: Orientation = UPRIGHT) -> Orientation:
    """The nearest of the eight ways to lay a picture; `before` where it says none.

    Front cameras mirror, `(-1, 0, 0, 1)`, which no angle can say.
    """
    # Not `frame.side_data`: frame and container would hold each other, and 250 pictures would wait
    # for the collector (measured: 118 MB at 640x480).
    of_frame: Any = SideDataContainer  # its stub lacks the argument
    side_data = of_frame(frame)
    data = side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return before
    a, b, _, c, d = struct.unpack_from("<5i", bytes(data))
    if a * d == b * c:  # all zeros, as some writers leave it
        return UPRIGHT
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (1 if a > 0 else -1, 0, 0, 1 if d > 0 else -1)
    return (0, 1 if b > 0 else -1, 1 if c > 0 else -1, 0)


def lay(image: UInt8Image, orientation: Orientation) -> UInt8Image:
    """The picture as it is shown; a view, (W, H, C) where width and height change places."""
    a, b, c, d = orientation
    if a:
        return image[::d, ::a]
    return np.swapaxes(image, 0, 1)[::b, ::c]


def shown_size(width: int, height: int, orientation: Orientation) -> tuple[int, int]:
    """Width and height as shown."""
    return (width, height) if orientation[0] else (height, width)


def square_pixels(width: int, height: int, aspect: Fraction | None) -> tuple[int, int]:
    """Size with square pixels of an anamorphic picture; the longer side shrinks, none grows.

    Args:
        width: stored pixels.
        height: the same.
        aspect: width to height of one pixel; None or 0 = unknown, which is square.
    """
    if not aspect or not ASPECTS[0] <= aspect <= ASPECTS[1]:
        return width, height
    if aspect > 1:
        return width, max(1, round(height / aspect))
    return max(1, round(width * aspect)), height
