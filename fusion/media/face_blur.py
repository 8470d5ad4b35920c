"""Face blurring for pictures and clips of alerts; if it fails, none is written."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import cv2
import msgspec
import numpy as np

from egomon.errors import ConfigError, StoreError
from egomon.fusion.media.images import Size, picture_of, snapshot, write_clip
from egomon.fusion.messages.types import Evidence
from egomon.stream.frame import Frame, Segment, UInt8Image

Box = tuple[float, float, float, float]
"""Left, top, width and height in pixels."""

SIDE_PX = 640
"""YuNet looks at squares of this size: one of its files takes no other."""
LEAST_SCORE = 0.5
"""Score from which a face counts, low on purpose: a blurred hand costs less than a visible face."""
MARGIN = 0.25
"""A face is covered so much wider and higher on each side."""
CELLS = 4
"""A face keeps so many colours across and down: nothing of it can be restored."""


class FaceFinder(Protocol):
    """Finds faces; called by one thread at a time."""

    def find(self, picture: UInt8Image) -> list[Box]:
        """Faces of an RGB picture (H, W, 3)."""


class YuNet:
    """OpenCV's face detector; the user supplies its model file (233 kB, MIT licence).

    Raises:
        ConfigError: the file is not there, cannot be read, or is another model.
    """

    def __init__(self, model: Path) -> None:
        if not model.is_file():
            raise ConfigError(
                f"evidence.blur_faces: {model} not found; give the path of YuNet's .onnx file"
            )
        try:
            self._net = cv2.FaceDetectorYN.create(
                str(model), "", (SIDE_PX, SIDE_PX), score_threshold=LEAST_SCORE
            )
            self.find(np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8))
        except cv2.error as error:
            raise ConfigError(
                f"evidence.blur_faces: {model} is no YuNet model ({error.err or 'unreadable'}); "
                "give face_detection_yunet_2023mar.onnx or a later one of OpenCV's model zoo"
            ) from error

    def find(self, picture: UInt8Image) -> list[Box]:
        """See `FaceFinder`."""
        high, wide = picture.shape[:2]
        scale = SIDE_PX / max(high, wide)
        square = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
        size = max(1, round(wide * scale)), max(1, round(high * scale))
        square[: size[1], : size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        _, rows = self._net.detect(cv2.cvtColor(square, cv2.COLOR_RGB2BGR))
        found = [] if rows is None else rows[:, :4] / scale
        return [(float(x), float(y), float(w), float(h)) for x, y, w, h in found]


def cover(picture: UInt8Image, boxes: Sequence[Box]) -> UInt8Image:
    """Return a copy in which each box, with a margin, is a few blurred colours."""
    out = picture.copy()
    high, wide = picture.shape[:2]
    for x, y, w, h in boxes:
        left, right = (round(v) for v in (x - MARGIN * w, x + w + MARGIN * w))
        top, bottom = (round(v) for v in (y - MARGIN * h, y + h + MARGIN * h))
        face = out[max(0, top) : min(high, bottom), max(0, left) : min(wide, right)]
        if face.size:
            few = cv2.resize(face, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
            face[:] = cv2.resize(few, (face.shape[1], face.shape[0]))
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
