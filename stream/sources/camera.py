"""USB and built-in cameras, through OpenCV (V4L2 on Linux)."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from egomon.errors import SourceLostError, SourceOpenError
from egomon.stream.frame import SourceInfo, UInt8Image
from egomon.stream.source import Discontinuity, SourceListener
from egomon.stream.source_options import OpenContext, SourceOptions
from egomon.stream.sources.camera_list import describe_devices, list_devices
from egomon.stream.sources.device_thread import DeviceThread, Future
from egomon.stream.sources.network.connection import RawFrame
from egomon.stream.sources.network.reconnecting import Reconnecting

logger = logging.getLogger(__name__)


class Capture(Protocol):
    """The part of `cv2.VideoCapture` that is used."""

    def isOpened(self) -> bool: ...  # noqa: D102

    def grab(self) -> bool: ...  # noqa: D102

    def retrieve(self) -> tuple[bool, Any]: ...  # noqa: D102

    def set(self, key: int, value: float) -> bool: ...  # noqa: D102

    def get(self, key: int) -> float: ...  # noqa: D102

    def release(self) -> None: ...  # noqa: D102


CaptureFactory = Callable[[str], Capture]


def open_camera(
    reference: str, context: OpenContext, factory: CaptureFactory | None = None
) -> Reconnecting:
    """Open a camera by number or `/dev` path; unplugged, it is looked for until it is back.

    Args:
        reference: `0`, `/dev/video0`, or better `/dev/v4l/by-id/...`, which survives a reboot.
        context: name, size, rate, time-outs.
        factory: makes the capture object; for tests.

    Raises:
        SourceOpenError: DEVICE_NOT_FOUND, or DEVICE_BUSY if it is there but cannot be used.
    """
    info = SourceInfo(context.name, reference, "live", 0, 0, None, None)
    options, listener = context.options, context.listener
    return Reconnecting(
        info, lambda event: CameraSource(reference, options, listener, event, factory), context
    )


class CameraSource:
    """One opening of one camera; see `Connection`.

    A picture that cannot be decoded is replaced by the one before and counted as `decode_error`:
    pictures are decoded only when sampled, too late to skip the frame.
    """

    def __init__(
        self,
        reference: str,
        options: SourceOptions,
        listener: SourceListener,
        stop: threading.Event,
        factory: CaptureFactory | None = None,
    ) -> None:
        self._reference, self._options = reference, options
        self._listener, self._stop = listener, stop
        self._factory = factory
        self._capture: Capture | None = None
        self._pending: Future[RawFrame] | None = None
        self._last: UInt8Image | None = None
        self._shape = (0, 0)
        self._thread = DeviceThread(f"camera {reference}", self._release)

    @property
    def packets(self) -> int:
        """See `Connection`; each is a picture."""
        return 0

    def open(self) -> tuple[int, int, float | None]:
        """See `Connection`."""
        if self._factory is None:
            check_device(self._reference)
        answer = self._thread.submit(self._connect)
        if not answer.wait(self._options.open_timeout_seconds, self._stop):
            text = f"camera {self._reference} does not answer; unplug it and plug it in again"
            raise SourceOpenError(text, code="STREAM_TIMEOUT")
        return answer.result()

    def read(self, timeout_seconds: float) -> RawFrame | None:
        """See `Connection`."""
        if self._pending is None:
            self._pending = self._thread.submit(self._next)
        if not self._pending.wait(timeout_seconds, self._stop):
            return None
        answer, self._pending = self._pending, None
        return answer.result()

    def close(self) -> None:
        """See `Connection`."""
        self._thread.close()

    def _connect(self) -> tuple[int, int, float | None]:
        import cv2

        capture = self._capture = (self._factory or _open_cv2)(self._reference)
        if not capture.isOpened():
            raise SourceOpenError(
                f"camera {self._reference} cannot be opened; does another program use it?",
                code="DEVICE_BUSY",
            )
        # Before the first read, MJPG first: raw modes reach full size only at a few frames/s.
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        if self._options.size is not None:
            width, height = self._options.size
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
        if self._options.fps is not None:
            capture.set(cv2.CAP_PROP_FPS, self._options.fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        for _ in range(self._options.warmup_frames):
            if self._stop.is_set() or not capture.grab():
                break
        width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        self._shape = (height, width)
        fps = capture.get(cv2.CAP_PROP_FPS)
        return width, height, fps if 0 < fps < 1000 else None

    def _next(self) -> RawFrame:
        import cv2

        assert self._capture is not None
        if not self._capture.grab():
            text = f"camera {self._reference} stopped; was it unplugged?"
            raise SourceLostError(text, code="DEVICE_NOT_FOUND")
        mono_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        position_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        # The driver's own stamp has less jitter; drivers without one give 0.
        pts = position_ms / 1000 if position_ms > 0 else None
        return RawFrame(pts, mono_ns, wall_ns, self._to_rgb)

    def _to_rgb(self) -> UInt8Image:
        """Decode the grabbed picture in the camera's thread."""
        assert self._capture is not None
        answer = self._thread.submit(self._capture.retrieve)
        picture = None
        if answer.wait(self._options.read_timeout_seconds, threading.Event()):
            ok, picture = answer.result()
            picture = picture if ok else None
        if picture is None:
            self._listener.on_gap(Discontinuity("decode_error", 1))
            if self._last is None:
                return np.zeros((*self._shape, 3), dtype=np.uint8)
            return self._last.copy()
        if picture.ndim == 2:  # infrared cameras
            picture = np.repeat(picture[:, :, None], 3, axis=2)
        self._last = np.ascontiguousarray(picture[:, :, ::-1])
        return self._last

    def _release(self) -> None:
        if self._capture is not None:
            self._capture.release()


def check_device(reference: str) -> None:
    """Say at once what OpenCV would try for seconds.

    Raises:
        SourceOpenError: no such device, or no permission.
    """
    if not sys.platform.startswith("linux"):
        return
    path = f"/dev/video{reference}" if reference.isdigit() else reference
    if not os.path.exists(path):
        there = describe_devices(list_devices())
        raise SourceOpenError(f"no camera at {path}; {there}", code="DEVICE_NOT_FOUND")
    if not os.access(path, os.R_OK | os.W_OK):
        text = f"{path} may not be used by this user; add the user to the group 'video'"
        raise SourceOpenError(text, code="DEVICE_BUSY")


def _open_cv2(reference: str) -> Capture:
    import cv2

    # OpenCV's warnings say less than our errors and land between the log lines.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    backend = cv2.CAP_V4L2 if sys.platform.startswith("linux") else cv2.CAP_ANY
    target = int(reference) if reference.isdigit() else os.path.realpath(reference)
    capture: Capture = cv2.VideoCapture(target, backend)
    return capture
