"""Scales pictures with FFmpeg's scaler."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import Interpolation

from egomon.stream.frame import UInt8Image

EXACT = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP | Interpolation.FULL_CHR_H_INT
"""Without them colours of two neighbours are averaged on the way, and sums are rounded down."""


def scaled(picture: UInt8Image, width: int, height: int) -> UInt8Image:
    """A picture of another size: the mean of what each pixel covers, bilinear where it grows.

    Args:
        picture: RGB (H, W, 3).
        width: in pixels, at least 1 ...
        height: ... and likewise.

    Returns:
        (height, width, 3), contiguous; the picture itself if it has that size.
    """
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = width <= picture.shape[1] and height <= picture.shape[0]
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(
        width,
        height,
        interpolation=(Interpolation.AREA if shrinks else Interpolation.BILINEAR) | EXACT,
        threads=1,
    )
    return np.ascontiguousarray(frame.to_ndarray(), np.uint8)


def shrunk(picture: UInt8Image, width: int) -> UInt8Image:
    """An RGB picture (H, W, 3) at most `width` pixels wide, in its own proportions."""
    high, wide = picture.shape[:2]
    if wide <= width:
        return picture
    return scaled(picture, width, max(2, round(high * width / wide)))
