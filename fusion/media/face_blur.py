"""Face blurring for pictures and clips of alerts; if it fails, none is written."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import msgspec

from egomon.errors import StoreError
from egomon.fusion.media.images import Size, picture_of, snapshot, write_clip
from egomon.fusion.media.yunet import Box
from egomon.fusion.messages.types import Evidence
from egomon.stream.frame import Frame, Segment, UInt8Image
from egomon.stream.pictures.scaling import scaled

MARGIN = 0.25
"""A face is covered so much wider and higher on each side."""
CELLS = 4
"""A face keeps so many colours across and down: nothing of it can be restored."""


class FaceFinder(Protocol):
    """Finds faces; called by one thread at a time."""

    def find(self, picture: UInt8Image) -> list[Box]:
        """Faces of an RGB picture (H, W, 3)."""


def cover(picture: UInt8Image, boxes: Sequence[Box]) -> UInt8Image:
    """Return a copy in which each box, with a margin, is a few blurred colours."""
    out = picture.copy()
    high, wide = picture.shape[:2]
    for x, y, w, h in boxes:
        left, right = (round(v) for v in (x - MARGIN * w, x + w + MARGIN * w))
        top, bottom = (round(v) for v in (y - MARGIN * h, y + h + MARGIN * h))
        face = out[max(0, top) : min(high, bottom), max(0, left) : min(wide, right)]
        if face.size:
            face[:] = scaled(scaled(face, CELLS, CELLS), face.shape[1], face.shape[0])
    return out


class FaceBlur:
    """Writes evidence without faces; if detection fails, it writes none.

    Two threads use it, for pictures and for clips.
    """

    def __init__(self, finder: FaceFinder) -> None:
        self._finder = finder
        self._lock = threading.Lock()
        self.failed = 0
        """Number of pictures and clips left out because detection failed."""

    def frames(self, frames: Sequence[Frame], size: Size | None) -> list[Frame]:
        """Frames in the source's proportions, with the faces of each and of its neighbours covered.

        A detector that misses a face in one frame mostly has it in the one before or after.

        Raises:
            StoreError: the detector failed.
        """
        pictures = [picture_of(frame, size) for frame in frames]
        try:
            with self._lock:
                boxes = [self._finder.find(picture) for picture in pictures]
            covered = [
                cover(picture, [box for near in boxes[max(0, i - 1) : i + 2] for box in near])
                for i, picture in enumerate(pictures)
            ]
        except Exception as error:  # whatever it is: a face must not get out
            self.failed += 1
            raise StoreError(f"faces cannot be looked for, so nothing is kept: {error}") from error
        return [replace(f, image=p, detail=None) for f, p in zip(frames, covered, strict=True)]

    def write_clip(self, path: Path, frames: Sequence[Frame], size: Size | None = None) -> Evidence:
        """See `write_clip`."""
        evidence = write_clip(path, self.frames(frames, size))
        return msgspec.structs.replace(evidence, blurred=True)

    def snapshot(self, segment: Segment, size: Size | None = None) -> tuple[Evidence, bytes] | None:
        """See `snapshot`.

        Raises:
            StoreError: the detector failed.
        """
        middle = len(segment.frames) // 2
        frames = tuple(self.frames(segment.frames[middle : middle + 1], size))
        made = snapshot(replace(segment, frames=frames))
        if made is None:
            return None
        evidence, jpeg = made
        return msgspec.structs.replace(evidence, blurred=True), jpeg
