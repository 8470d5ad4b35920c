"""Cameras of Linux through FFmpeg's Video4Linux2, which comes with PyAV."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable
from functools import partial
from typing import Any

import av
import av.error

from egomon.errors import SourceLostError, SourceOpenError
from egomon.stream.frame import UInt8Image
from egomon.stream.source_options import SourceOptions
from egomon.stream.sources.decoding.container import silence_ffmpeg
from egomon.stream.sources.decoding.decode import Converter
from egomon.stream.sources.decoding.jpeg import JpegDecoder
from egomon.stream.sources.webcam.camera_list import describe_devices, list_devices
from egomon.stream.sources.webcam.device import CameraPicture

DEFAULT_SIZE, DEFAULT_FPS = (640, 480), 30.0
"""Asked for where the user names none: else the mode of the program before holds."""
SECONDS = 1e-6
"""Of one tick: the driver stamps in microseconds."""


class V4l2Camera:
    """One opened camera; see `OpenCamera`.

    Motion JPEG is asked for first: raw modes reach full size only at a few pictures a second. The
    driver takes the nearest size and rate that the camera has.

    Args:
        reference: number or path.
        options: size and rate.

    Raises:
        SourceOpenError: DEVICE_BUSY; DEVICE_NOT_FOUND for another device than a camera; or
            STREAM_CODEC_UNSUPPORTED for pictures that need the ones before them.
    """

    def __init__(self, reference: str, options: SourceOptions) -> None:
        silence_ffmpeg()
        self._reference = reference
        self._path = os.path.realpath(device_path(reference))
        before = self._descriptors()
        self._container = self._open(options)
        stream = self._container.streams.video[0]
        codec = stream.codec_context
        self.size: tuple[int, int] = (codec.width, codec.height)
        self.fps = float(stream.average_rate) if stream.average_rate else None
        self._packets = self._container.demux()
        self._poll = select.poll()
        # FFmpeg waits for a silent camera for ever, whatever its time-outs: so its own descriptor
        # is looked up, and it is asked for a picture only once there is one.
        for descriptor in self._descriptors() - before:
            self._poll.register(descriptor, select.POLLIN)
        try:
            self._decode = self._decoder(codec)
            self.next()  # FFmpeg has read it to find out what comes
        except BaseException:
            self.close()
            raise

    def wait(self, seconds: float) -> bool:
        """See `OpenCamera`."""
        return bool(self._poll.poll(seconds * 1000))

    def next(self) -> CameraPicture | None:
        """See `OpenCamera`."""
        try:
            packet = next(self._packets, None)
        except av.error.InvalidDataError:
            self._packets = self._container.demux()  # the error ended the former
            return None
        except (av.error.FFmpegError, OSError):
            packet = None
        if packet is None:
            text = f"camera {self._reference} stopped; was it unplugged?"
            raise SourceLostError(text, code="DEVICE_NOT_FOUND")
        # A copy: the packet is the driver's own memory, which is gone once the camera is closed.
        data = bytes(packet)
        if not data:  # what the driver itself calls damaged
            return None
        pts_seconds = packet.pts * SECONDS if packet.pts else None
        return CameraPicture(pts_seconds, partial(self._decode, data))

    def close(self) -> None:
        """See `OpenCamera`."""
        self._packets.close()  # it holds the last packet, see `next`
        self._container.close()

    def _open(self, options: SourceOptions) -> Any:
        width, height = options.size or DEFAULT_SIZE
        asked = {
            "video_size": f"{width}x{height}",
            "framerate": f"{options.fps or DEFAULT_FPS:g}",
        }
        for formats in ({"input_format": "mjpeg"}, {}):
            try:
                # `options` would also go to the decoder, whatever size the driver gives.
                return av.open(self._path, format="v4l2", container_options=asked | formats)
            except (av.error.FFmpegError, OSError) as error:
                if error.errno == errno.EINVAL and formats:
                    continue
                raise self._explain(error) from None
        raise AssertionError

    def _explain(self, error: av.error.FFmpegError | OSError) -> SourceOpenError:
        there = describe_devices(list_devices())
        if error.errno == errno.ENOTTY:
            return SourceOpenError(f"{self._path} is no camera; {there}", code="DEVICE_NOT_FOUND")
        if error.errno == errno.EBUSY:
            text = f"camera {self._reference} is used by another program; close that first"
        else:
            text = f"camera {self._reference} cannot be opened: {error.strerror}; {there}"
        return SourceOpenError(text, code="DEVICE_BUSY")

    def _decoder(self, codec: Any) -> Callable[[bytes], UInt8Image | None]:
        if codec.name == "mjpeg":
            return JpegDecoder()
        if codec.name != "rawvideo":
            text = (
                f"camera {self._reference} sends {codec.name} only, which is not read from a device"
            )
            raise SourceOpenError(text, code="STREAM_CODEC_UNSUPPORTED")
        return RawDecoder(*self.size, codec.pix_fmt)

    def _descriptors(self) -> set[int]:
        """This process's descriptors of the device."""
        found = set()
        for name in os.listdir("/proc/self/fd"):
            try:
                if os.readlink(f"/proc/self/fd/{name}") == self._path:
                    found.add(int(name))
            except OSError:  # closed meanwhile
                continue
        return found


class RawDecoder:
    """Pictures without compression to RGB."""

    def __init__(self, width: int, height: int, pixel_format: str) -> None:
        self._codec: Any = av.CodecContext.create("rawvideo", "r")
        self._codec.width, self._codec.height = width, height
        self._codec.pix_fmt = pixel_format
        self._convert = Converter()

    def __call__(self, data: bytes) -> UInt8Image | None:
        """RGB uint8 (H, W, 3); None if bytes are missing."""
        try:
            return self._convert(self._codec.decode(av.Packet(data))[0])
        except (av.error.FFmpegError, IndexError):
            return None


def device_path(reference: str) -> str:
    """The path of a camera that is named by number or path.

    >>> device_path("2"), device_path("/dev/v4l/by-id/x")
    ('/dev/video2', '/dev/v4l/by-id/x')
    """
    return f"/dev/video{reference}" if reference.isdigit() else reference
