"""Finds faces with YuNet (Wu, Peng and Yu, 2023), in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from egomon.errors import ConfigError
from egomon.stream.frame import UInt8Image
from egomon.stream.pictures.scaling import scaled

Box = tuple[float, float, float, float]
"""Left, top, width and height in pixels."""

Floats = NDArray[np.float32]

SIDE_PX = 640
"""YuNet looks at squares of this size: one of its files takes no other."""
STRIDES = (8, 16, 32)
"""Sides in pixels of the cells that it judges."""
LEAST_SCORE = 0.5
"""Score from which a face counts, low on purpose: a blurred hand costs less than a visible face."""
MOST_OVERLAP = 0.3
"""Intersection over union up to which two boxes are two faces, as in OpenCV."""


class YuNet:
    """The face detector of OpenCV's model zoo; the user supplies its file (233 kB, MIT licence).

    Raises:
        ConfigError: the file is not there, cannot be read, or is another model.
    """

    def __init__(self, model: Path) -> None:
        if not model.is_file():
            raise ConfigError(
                f"evidence.blur_faces: {model} not found; give the path of YuNet's .onnx file"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # pictures of alerts must not slow the scoring down
        options.log_severity_level = 4  # what fails is told below
        try:
            self._net = onnxruntime.InferenceSession(
                model.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
            self.find(np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8))
        except Exception as error:  # onnxruntime raises types of its own
            why = " ".join(str(error).split()) or "unreadable"
            raise ConfigError(
                f"evidence.blur_faces: {model} is no YuNet model ({why}); "
                "give face_detection_yunet_2023mar.onnx or a later one of OpenCV's model zoo"
            ) from error

    def find(self, picture: UInt8Image) -> list[Box]:
        """See `FaceFinder`.

        Raises:
            ValueError: the network gives no numbers.
        """
        high, wide = picture.shape[:2]
        scale = SIDE_PX / max(high, wide)
        size = max(1, round(wide * scale)), max(1, round(high * scale))
        square = np.zeros((SIDE_PX, SIDE_PX, 3), np.float32)
        square[: size[1], : size[0]] = scaled(picture, *size)[..., ::-1]  # it reads BGR
        names = [f"{kind}_{stride}" for stride in STRIDES for kind in ("cls", "obj", "bbox")]
        given = {self._net.get_inputs()[0].name: square.transpose(2, 0, 1)[None]}
        found = iter(self._net.run(names, given))
        levels = [_faces(s, next(found), next(found), next(found)) for s in STRIDES]
        scores, boxes = (np.concatenate(each) for each in zip(*levels, strict=True))
        return [(x, y, w, h) for x, y, w, h in (boxes[_kept(scores, boxes)] / scale).tolist()]


def _faces(stride: int, classes: Floats, objects: Floats, boxes: Floats) -> tuple[Floats, Floats]:
    """Scores (N,) and boxes (N, 4) of the cells of one size, row by row, in which a face is.

    Args:
        stride: side of the cells in pixels.
        classes: score of each that it is a face ...
        objects: ... and that anything is there; the score is their geometric mean.
        boxes: centre from the cell's corner in cells, and logarithms of width and height in cells.
    """
    across = SIDE_PX // stride
    both = np.clip(classes, 0, 1) * np.clip(objects, 0, 1)
    scores = np.sqrt(both).reshape(across * across)
    if not np.isfinite(scores).all():
        raise ValueError("the detector gives no numbers")
    at = np.flatnonzero(scores >= LEAST_SCORE)
    places = boxes.reshape(across * across, 4)[at]
    corners = np.stack([at % across, at // across], axis=1)
    sides = np.exp(places[:, 2:])
    left_top = corners + places[:, :2] - sides / 2
    return scores[at], np.concatenate([left_top, sides], axis=1).astype(np.float32) * stride


def _kept(scores: Floats, boxes: Floats) -> list[int]:
    """Which boxes stay where several show one face: the one of the highest score."""
    start, end = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    areas = boxes[:, 2:].prod(axis=1)
    kept: list[int] = []
    left = np.argsort(-scores, kind="stable")
    while len(left):
        best, left = int(left[0]), left[1:]
        kept.append(best)
        sides = np.minimum(end[left], end[best]) - np.maximum(start[left], start[best])
        shared = np.maximum(sides, 0).prod(axis=1)
        left = left[shared <= MOST_OVERLAP * (areas[left] + areas[best] - shared)]
    return kept
