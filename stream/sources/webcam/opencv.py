"""Cameras of systems other than Linux, through OpenCV."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from egomon.errors import SourceLostError, SourceOpenError
from egomon.stream.frame import UInt8Image
from egomon.stream.source_options import SourceOptions
from egomon.stream.sources.webcam.device import CameraPicture


class OpenCvCamera:
    """One opened camera; see `OpenCamera`.

    Args:
        reference: number.
        options: size and rate.
        capture: as `cv2.VideoCapture`; None = one of this machine.

    Raises:
        SourceOpenError: DEVICE_BUSY.
    """

    def __init__(self, reference: str, options: SourceOptions, capture: Any = None) -> None:
        self._reference = reference
        # OpenCV's warnings say less than our errors and land between the log lines.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        target = int(reference) if reference.isdigit() else reference
        self._capture = capture = capture or cv2.VideoCapture(target)
        if not capture.isOpened():
            capture.release()
            text = f"camera {reference} cannot be opened; does another program use it?"
            raise SourceOpenError(text, code="DEVICE_BUSY")
        # Before the first read, MJPG first: raw modes reach full size only at a few frames/s.
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        if options.size is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, options.size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, options.size[1])
        if options.fps is not None:
            capture.set(cv2.CAP_PROP_FPS, options.fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self.size: tuple[int, int] = (
            int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
        fps = capture.get(cv2.CAP_PROP_FPS)
        self.fps = float(fps) if 0 < fps < 1000 else None

    def wait(self, seconds: float) -> bool:
        """See `OpenCamera`; OpenCV waits in `next`, for ten seconds at most."""
        return True

    def next(self) -> CameraPicture:
        """See `OpenCamera`."""
        if not self._capture.grab():
            text = f"camera {self._reference} stopped; was it unplugged?"
            raise SourceLostError(text, code="DEVICE_NOT_FOUND")
        position_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        return CameraPicture(position_ms / 1000 if position_ms > 0 else None, self._decode)

    def close(self) -> None:
        """See `OpenCamera`."""
        self._capture.release()

    def _decode(self) -> UInt8Image | None:
        done, picture = self._capture.retrieve()
        if not done:
            return None
        if picture.ndim == 2:  # infrared cameras
            picture = np.repeat(picture[:, :, None], 3, axis=2)
        return np.ascontiguousarray(picture[:, :, ::-1])
