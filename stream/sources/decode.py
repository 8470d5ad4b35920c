"""What all PyAV sources share: opening, picking the video stream, decoding, conversion."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import av
import av.error
import av.logging
import numpy as np
from av.video.reformatter import VideoReformatter

from egomon.errors import SourceLostError, SourceOpenError
from egomon.stream.frame import UInt8Image
from egomon.stream.packet_ring import PacketRing
from egomon.stream.redact import redact
from egomon.stream.sources.colour import ToneMapper, needs_mapping
from egomon.stream.sources.orientation import UPRIGHT, lay, orientation_of

# FFmpeg would print addresses, passwords included; errors reach the user through exceptions. None,
# not PANIC: any level installs a callback that takes the GIL in FFmpeg's own threads, and freeing
# a frame-threaded decoder, which waits for them with the GIL held, then hangs for ever (measured).
av.logging.set_level(None)

MOST_ERRORS_IN_A_ROW = 30
# Time-outs arrive as ExitError, broken connections as the system's own errors.
LOST = (av.error.ExitError, OSError)


class Converter:
    """Decoded frame to upright RGB of standard range; one reformatter saves a third of the cost."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._tone_mapper = ToneMapper()

    def deferred(self, frame: av.VideoFrame) -> Callable[[], UInt8Image]:
        """A conversion to be done only if the frame is sampled."""
        return lambda: self(frame)

    def __call__(self, frame: av.VideoFrame) -> UInt8Image:
        """RGB uint8 (H, W, 3), contiguous."""
        if needs_mapping(frame):
            rgb = self._tone_mapper(frame)
        else:
            rgb = self._reformatter.reformat(frame, format="rgb24").to_ndarray()
        return np.ascontiguousarray(lay(rgb, orientation_of(frame)))


class VideoDecoder:
    """Decoded frames of one container; damaged packets are skipped and counted.

    Raises:
        SourceLostError: from `next`, after a time-out, a broken connection, or too many damaged
            packets in a row (code STREAM_DAMAGED).
    """

    def __init__(
        self, container: Any, stream: Any, shown: str, ring: PacketRing | None = None
    ) -> None:
        self._ring = ring
        if ring is not None:
            ring.begin(stream)
        self._container, self._stream, self._shown = container, stream, shown
        self._packets = container.demux(stream)
        self._frames: list[av.VideoFrame] = []
        self._in_a_row = 0
        self._time_base: tuple[int, int] | None = None
        self.errors = 0
        """Damaged packets so far."""

    def next(self) -> av.VideoFrame | None:
        """The next frame; None at the end."""
        while not self._frames:
            try:
                packet = next(self._packets, None)
                if packet is None:
                    return None
                if self._ring is not None:
                    self._ring.add(packet)
                decoded = packet.decode()
            except av.error.EOFError:
                return None
            except av.error.FFmpegError as error:
                self._damaged(error)
                continue
            if decoded:
                self._in_a_row = 0
                self._frames = decoded[::-1]
                if self._ring is not None and orientation_of(decoded[0]) != UPRIGHT:
                    self._ring.refuse()
        return self._frames.pop()

    def seconds(self, frame: av.VideoFrame) -> float | None:
        """Presentation time, exact for any time base; None where missing."""
        if self._time_base is None and frame.time_base:
            # Once: each look at a frame's own builds a fraction, 1 % of the cost of a frame.
            self._time_base = (frame.time_base.numerator, frame.time_base.denominator)
        if frame.pts is None or self._time_base is None:
            return None
        numerator, denominator = self._time_base
        return frame.pts * numerator / denominator

    def _damaged(self, error: av.error.FFmpegError) -> None:
        if isinstance(error, LOST):
            raise SourceLostError(f"{self._shown} stopped sending", code="STREAM_TIMEOUT") from None
        self.errors += 1
        self._in_a_row += 1
        if self._in_a_row >= MOST_ERRORS_IN_A_ROW:
            message = f"{self._shown} is damaged: {self._in_a_row} packets in a row"
            raise SourceLostError(message, code="STREAM_DAMAGED") from None
        # The error may have come from the demuxer, whose generator is then used up.
        self._packets = self._container.demux(self._stream)


def open_container(
    reference: str, *, timeout: tuple[float, float] | None = None, options: dict[str, str]
) -> Any:
    """Open for reading.

    Raises:
        SourceOpenError: with a code and a sentence; the address is redacted.
    """
    begin = time.monotonic()
    try:
        return av.open(reference, timeout=timeout, options=options)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        late = timeout is not None and time.monotonic() - begin >= 0.9 * timeout[0]
        # Not chained: FFmpeg's message holds the address with its password.
        raise _explain(error, redact(reference), late) from None


def _explain(error: Exception, shown: str, late: bool) -> SourceOpenError:
    match error:
        case av.error.HTTPUnauthorizedError() | av.error.HTTPForbiddenError():
            text = f"{shown} refuses the user name or password"
            return SourceOpenError(text, code="STREAM_AUTH_FAILED")
        case av.error.PermissionError():
            text = f"{shown} may not be read by this user; check its permissions"
            return SourceOpenError(text, code="STREAM_AUTH_FAILED")
        case av.error.FileNotFoundError() | av.error.HTTPNotFoundError():
            return SourceOpenError(f"{shown} not found", code="STREAM_NOT_FOUND")
        case av.error.ConnectionRefusedError():
            text = f"nothing listens at {shown}; is the camera on?"
            return SourceOpenError(text, code="STREAM_NOT_FOUND")
    # A server that accepts and stays silent ends as "invalid data" when the time-out fires.
    if late or isinstance(error, (av.error.ExitError, av.error.TimeoutError)):
        text = f"{shown} did not answer in time; is it the right address?"
        return SourceOpenError(text, code="STREAM_TIMEOUT")
    if isinstance(error, av.error.InvalidDataError):
        return SourceOpenError(f"{shown} is no video, or damaged", code="STREAM_DAMAGED")
    reason = redact(getattr(error, "strerror", None) or str(error))
    code = "STREAM_NOT_FOUND" if isinstance(error, OSError) else "STREAM_DAMAGED"
    return SourceOpenError(f"cannot open {shown}: {reason}", code=code)


def video_stream(container: Any, shown: str) -> Any:
    """The largest moving video stream, of equals the fastest; all other streams are not read.

    The first may be a preview (action cameras) or the smallest of several qualities (HLS); cover
    pictures do not count.

    Args:
        container: open.
        shown: redacted address.

    Raises:
        SourceOpenError: there is none, or no decoder for it.
    """
    still = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    streams = [s for s in container.streams.video if not s.disposition & still]
    if not streams:
        kinds = sorted({stream.type for stream in container.streams}) or ["nothing"]
        raise SourceOpenError(
            f"{shown} has no video, only {', '.join(kinds)}", code="STREAM_NO_VIDEO"
        )
    decodable = [stream for stream in streams if stream.codec_context is not None]
    if not decodable:
        raise SourceOpenError(
            f"{shown} uses a video codec that this build cannot decode",
            code="STREAM_CODEC_UNSUPPORTED",
        )
    best = max(decodable, key=_quality)
    for stream in container.streams:
        if stream is not best:
            stream.discard = av.stream.Discard.all  # HLS then fetches one quality only
    return best


def _quality(stream: Any) -> tuple[int, int, float, int]:
    context = stream.codec_context
    # Where a playlist's variants have shown no picture yet, the playlist says what they need.
    bits = int(stream.metadata.get("variant_bitrate") or context.bit_rate or 0)
    return context.width * context.height, bits, float(stream.average_rate or 0), -stream.index
