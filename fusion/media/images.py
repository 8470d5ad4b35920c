"""Segments as pictures: a small JPEG for the wire, an H.264 clip for the disk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from egomon.errors import StoreError
from egomon.fusion.media.output_file import OutputFile, written_whole
from egomon.fusion.messages.types import Evidence
from egomon.stream.frame import Frame, Segment, UInt8Image
from egomon.stream.pictures.jpeg import jpeg_of
from egomon.stream.pictures.scaling import scaled

# A JPEG of this width has about 10 KB and may go with every alert.
SNAPSHOT_PX = 320
MILLISECOND = Fraction(1, 1000)
# Names of files may have 255 bytes, and a suffix comes behind it.
LONGEST_STEM = 96

Size = tuple[int, int]
"""(width, height) of the source; larger pictures are squashed to a square on their way in."""


def file_stem(alert_id: str) -> str:
    """An alert id as a file name: whatever is not plain becomes a dash.

    >>> file_stem("a-cam0-7f3a-00001"), file_stem("../../ETC/x")
    ('a-cam0-7f3a-00001', '------etc-x')
    """
    return re.sub(r"[^a-z0-9_-]", "-", alert_id.lower())[:LONGEST_STEM] or "alert"


def picture_of(frame: Frame, size: Size | None = None, *, width: int | None = None) -> UInt8Image:
    """The best picture of a frame (H, W, 3), in the source's own proportions where known.

    Args:
        frame: its `detail`, a square, is stretched back or loses its bars; its `image` is taken as
            it is.
        size: of the source.
        width: at most so many pixels wide; None = as wide as it is.
    """
    picture = frame.image if frame.detail is None else frame.detail
    high, wide = picture.shape[:2]
    if frame.letterboxed and frame.detail is not None and size is not None and min(size) > 0:
        picture = _without_bars(picture, size)
        high, wide = picture.shape[:2]
    elif frame.detail is not None and size is not None and min(size) > 0:
        high = max(2, round(wide * size[1] / size[0]))
    if width is not None and wide > width:
        wide, high = width, max(2, round(high * width / wide))
    return scaled(picture, wide, high)


def _without_bars(square: UInt8Image, size: Size) -> UInt8Image:
    """What `ImagePreparer` put between the bars of a letterbox, for a source of this size."""
    px, longest = len(square), max(size)
    wide, high = (max(1, round(side * px / longest)) for side in size)
    top, left = (px - high) // 2, (px - wide) // 2
    return square[top : top + high, left : left + wide]


def snapshot(segment: Segment, size: Size | None = None) -> tuple[Evidence, bytes] | None:
    """The segment's middle frame as a JPEG, at most 320 px wide; None without pixels."""
    if not segment.frames:
        return None
    picture = picture_of(segment.frames[len(segment.frames) // 2], size, width=SNAPSHOT_PX)
    height, width = picture.shape[:2]
    evidence = Evidence(
        kind="snapshot", media_type="image/jpeg", attachment=0, width=width, height=height
    )
    return evidence, jpeg_of(picture)


def write_clip(path: Path, frames: Sequence[Frame], size: Size | None = None) -> Evidence:
    """Write frames of one epoch as an mp4; it appears under its name only once it is complete.

    Raises:
        StoreError: the folder is gone, the disk is full, or there is nothing to write.
    """
    if not frames:
        raise StoreError(
            f"no frame is left for {path.name}; raise source.buffer_seconds in the settings"
        )
    return clip_evidence(path, written_whole(path, lambda file: _encode(file, frames, size)))


def clip_evidence(path: Path, size: Size) -> Evidence:
    """Build the evidence field of a clip."""
    uri = path.absolute().as_uri()
    return Evidence(kind="clip", media_type="video/mp4", uri=uri, width=size[0], height=size[1])


def _encode(file: OutputFile, frames: Sequence[Frame], size: Size | None) -> Size:
    first = picture_of(frames[0], size)
    wide, high = (side - side % 2 for side in (first.shape[1], first.shape[0]))
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", time_base=MILLISECOND, options={"preset": "veryfast", "threads": "1"}
        )
        stream.width, stream.height, stream.pix_fmt = wide, high, "yuv420p"
        start = frames[0].t_seconds
        for frame in frames:
            picture = np.ascontiguousarray(picture_of(frame, size)[:high, :wide])
            video = av.VideoFrame.from_ndarray(picture, format="rgb24")
            video.time_base = MILLISECOND
            video.pts = round((frame.t_seconds - start) * 1000)
            container.mux(stream.encode(video))
        container.mux(stream.encode(None))
    return wide, high
