"""USB and built-in cameras; unplugged, they are looked for until they are back."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from egomon.errors import SourceLostError, SourceOpenError
from egomon.stream.frame import SourceInfo, UInt8Image
from egomon.stream.source import Discontinuity, SourceListener
from egomon.stream.source_options import OpenContext, SourceOptions
from egomon.stream.sources.device_thread import DeviceThread, Future
from egomon.stream.sources.network.connection import RawFrame
from egomon.stream.sources.network.reconnecting import Reconnecting
from egomon.stream.sources.webcam.camera_list import describe_devices, list_devices
from egomon.stream.sources.webcam.device import CameraPicture, OpenCamera
from egomon.stream.sources.webcam.v4l2 import V4l2Camera, device_path

CameraOpener = Callable[[str, SourceOptions], OpenCamera]

CHECK_SECONDS = 0.1


def open_camera(
    reference: str, context: OpenContext, opener: CameraOpener | None = None
) -> Reconnecting:
    """Open a camera by number or `/dev` path; unplugged, it is looked for until it is back.

    Args:
        reference: `0`, `/dev/video0`, or better `/dev/v4l/by-id/...`, which survives a reboot.
        context: name, size, rate, time-outs.
        opener: opens the device; None = what the system needs.

    Raises:
        SourceOpenError: DEVICE_NOT_FOUND, or DEVICE_BUSY if it is there but cannot be used.
    """
    info = SourceInfo(context.name, reference, "live", 0, 0, None, None)
    options, listener = context.options, context.listener
    return Reconnecting(
        info, lambda event: CameraSource(reference, options, listener, event, opener), context
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
        opener: CameraOpener | None = None,
    ) -> None:
        self._reference, self._options = reference, options
        self._listener, self._stop = listener, stop
        self._opener = opener
        self._camera: OpenCamera | None = None
        self._pending: Future[RawFrame | None] | None = None
        self._size = (0, 0)
        self._last: UInt8Image | None = None
        self._closed = False
        self._thread = DeviceThread(f"camera {reference}", self._release)

    @property
    def packets(self) -> int:
        """See `Connection`; each is a picture."""
        return 0

    def open(self) -> tuple[int, int, float | None]:
        """See `Connection`."""
        if self._opener is None:
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
        self._closed = True
        self._thread.close()

    def _connect(self) -> tuple[int, int, float | None]:
        try:
            camera = (self._opener or _open_here)(self._reference, self._options)
            self._camera, self._size = camera, camera.size
            for _ in range(self._options.warmup_frames):
                self._next()
        except SourceLostError as error:
            raise SourceOpenError(str(error), code=error.code) from None
        return (*self._size, camera.fps)

    def _next(self) -> RawFrame | None:
        """The next frame; None if the camera was closed before it came."""
        camera, damaged = self._camera, 0
        assert camera is not None
        while not (self._closed or self._stop.is_set()):
            if not camera.wait(CHECK_SECONDS):
                continue
            if (picture := camera.next()) is not None:
                to_rgb = partial(self._to_rgb, picture)
                mono_ns, wall_ns = time.monotonic_ns(), time.time_ns()
                return RawFrame(picture.pts_seconds, mono_ns, wall_ns, to_rgb, damaged)
            damaged += 1
        return None

    def _to_rgb(self, grabbed: CameraPicture) -> UInt8Image:
        """Decode in the camera's thread."""
        answer = self._thread.submit(grabbed.decode)
        picture = None
        if answer.wait(self._options.read_timeout_seconds, threading.Event()):
            picture = answer.result()
        if picture is None:
            self._listener.on_gap(Discontinuity("decode_error", 1))
            if self._last is None:
                width, height = self._size
                return np.zeros((height, width, 3), dtype=np.uint8)
            return self._last.copy()
        self._last = picture
        return picture

    def _release(self) -> None:
        # The thread and this object hold each other until the collector comes; a decoder with its
        # threads must not wait for it.
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()
        if self._pending is not None:
            self._pending.forget()


def check_device(reference: str) -> None:
    """Say at once what FFmpeg would say in its own words.

    Raises:
        SourceOpenError: no such device, or no permission.
    """
    if not sys.platform.startswith("linux"):
        return
    path = device_path(reference)
    if not os.path.exists(path):
        there = describe_devices(list_devices())
        raise SourceOpenError(f"no camera at {path}; {there}", code="DEVICE_NOT_FOUND")
    if not os.access(path, os.R_OK | os.W_OK):
        text = f"{path} may not be used by this user; add the user to the group 'video'"
        raise SourceOpenError(text, code="DEVICE_BUSY")


def _open_here(reference: str, options: SourceOptions) -> OpenCamera:
    if sys.platform.startswith("linux"):
        return V4l2Camera(reference, options)
    from egomon.stream.sources.webcam.opencv import OpenCvCamera

    return OpenCvCamera(reference, options)
