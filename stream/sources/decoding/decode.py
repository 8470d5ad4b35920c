"""What all PyAV sources share: decoding and conversion."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np
from av.video.reformatter import VideoReformatter

from egomon.errors import SourceLostError
from egomon.stream.frame import UInt8Image
from egomon.stream.packet_ring import PacketRing
from egomon.stream.sources.decoding.colour import ToneMapper, needs_mapping
from egomon.stream.sources.decoding.orientation import (
    UPRIGHT,
    Orientation,
    lay,
    orientation_of,
    shown_size,
    square_pixels,
)

# A second of damage, as a lost packet makes, is skipped; after more a live stream is opened anew.
MOST_ERRORS_IN_A_ROW = 30
MOST_DAMAGED_OF_FILE = 18_000
"""Ten minutes at 30 pictures a second: what comes behind them in a recording is not looked for."""
JOINED = {"h264", "hevc"}
"""Codecs whose pieces of one picture may be put one behind the other."""
# Time-outs arrive as ExitError, broken connections as the system's own errors.
LOST = (av.error.ExitError, OSError)


class Converter:
    """Decoded frames of one source, in order, to upright RGB of standard range and square pixels.

    One reformatter saves a third of the cost. An orientation that a camera sends inside its video
    (H.264 and H.265, display orientation SEI) comes with few frames: it holds until the next.

    Args:
        pixel_aspect: width to height of a stored pixel, as the stream says; None = square.
    """

    def __init__(self, pixel_aspect: Fraction | None = None) -> None:
        self._pixel_aspect = pixel_aspect
        self._reformatter = VideoReformatter()
        self._tone_mapper = ToneMapper()
        self.orientation = UPRIGHT
        """Of the last frame given."""

    def deferred(self, frame: av.VideoFrame) -> Callable[[], UInt8Image]:
        """A conversion to be done only if the frame is sampled."""
        self.orientation = orientation = orientation_of(frame, self.orientation)
        return lambda: self._convert(frame, orientation)

    def shown_size(self, frame: av.VideoFrame) -> tuple[int, int]:
        """Width and height of the picture that a frame gives."""
        width, height = square_pixels(frame.width, frame.height, self._pixel_aspect)
        return shown_size(width, height, orientation_of(frame, self.orientation))

    def __call__(self, frame: av.VideoFrame) -> UInt8Image:
        """RGB uint8 (H, W, 3), contiguous, of a frame that stands for itself."""
        return self._convert(frame, orientation_of(frame))

    def _convert(self, frame: av.VideoFrame, orientation: Orientation) -> UInt8Image:
        width, height = square_pixels(frame.width, frame.height, self._pixel_aspect)
        standard = self._tone_mapper(frame) if needs_mapping(frame) else frame
        rgb = self._reformatter.reformat(standard, width, height, format="rgb24")
        image = rgb.to_ndarray().view(np.uint8)
        return np.ascontiguousarray(lay(image, orientation))


class VideoDecoder:
    """Decoded frames of one container; damaged packets are skipped and counted.

    What comes before the first key frame cannot be decoded and is no damage: a stream that was
    joined, or a recording that was cut, between two of them.

    Some cameras send one picture in several packets of one time; decoded one by one, the first is
    a picture with a hole. Such packets are joined. For that a recording is read one packet ahead;
    a live stream only where it has shown that it needs it, and at its first picture.

    Raises:
        SourceLostError: from `next`, after a time-out, a broken connection, or too many damaged
            packets in a row (code STREAM_DAMAGED): a second of a live stream, ten minutes of a
            recording, or a second at its end.
    """

    def __init__(
        self,
        container: Any,
        stream: Any,
        shown: str,
        ring: PacketRing | None = None,
        *,
        live: bool = False,
    ) -> None:
        self._ring = ring
        if ring is not None:
            ring.begin(stream)
        self._container, self._stream, self._shown = container, stream, shown
        self._demuxed = container.demux(stream)
        self._ahead: av.Packet[Any] | None = None
        self._can_join = stream.codec_context.name in JOINED
        self._last_pts: int | None = None
        self._splits_key_frames = self._splits_all = not live
        self._frames: list[av.VideoFrame] = []
        self._live = live
        self._in_a_row = self._unread = 0
        self._key_frame_came = False
        self._time_base: tuple[int, int] | None = None
        self._begins_at_zero = container.format.name == "rtsp"
        self.errors = 0
        """Damaged packets so far."""
        self.packets = 0
        """Packets so far, whether they make pictures or not."""

    def next(self) -> av.VideoFrame | None:
        """The next frame; None at the end."""
        while not self._frames:
            packet = None
            try:
                packet = self._whole_packet()
                if packet is None:
                    break
                if self._ring is not None:
                    self._ring.add(packet)
                self._key_frame_came = self._key_frame_came or packet.is_keyframe
                decoded = packet.decode()
            except av.error.EOFError:
                break
            except av.error.FFmpegError as error:
                self._damaged(error, packet)
                continue
            if decoded:
                self._in_a_row = 0
                self._frames = decoded[::-1]
                if self._ring is not None and orientation_of(decoded[0]) != UPRIGHT:
                    self._ring.refuse()
        if self._frames:
            return self._frames.pop()
        if self._in_a_row >= MOST_ERRORS_IN_A_ROW:
            raise self._too_damaged()
        return None

    def seconds(self, frame: av.VideoFrame) -> float | None:
        """Presentation time, exact for any time base; None where missing."""
        if self._time_base is None and frame.time_base:
            # Once: each look at a frame's own builds a fraction, 1 % of the cost of a frame.
            self._time_base = (frame.time_base.numerator, frame.time_base.denominator)
        if frame.pts is None or self._time_base is None:
            return None
        numerator, denominator = self._time_base
        return frame.pts * numerator / denominator

    def _whole_packet(self) -> av.Packet[Any] | None:
        """The next packet, joined with those of the same time."""
        packet, self._ahead = self._ahead or self._packet(), None
        if packet is not None and self._begins_at_zero:
            self._begins_at_zero = False
            self._time_first(packet)
        if packet is None or packet.pts is None or not self._can_join:
            return packet
        first, repeated = self._last_pts is None, packet.pts == self._last_pts
        self._last_pts = packet.pts
        if repeated:  # too late for this picture; from the next on they are joined
            self._splits_key_frames = True
            self._splits_all = self._splits_all or not packet.is_keyframe
        if not (first or self._splits_all or (self._splits_key_frames and packet.is_keyframe)):
            return packet
        while True:
            following = self._ahead or self._packet()
            if following is None or following.pts != packet.pts or not following.size:
                self._ahead = following
                return packet
            self._splits_key_frames, self._ahead = True, None
            packet = _joined(packet, following)

    def _packet(self) -> av.Packet[Any] | None:
        packet = next(self._demuxed, None)
        self._unread = 0
        if packet is not None and packet.size:
            self.packets += 1
        return packet

    def _time_first(self, packet: av.Packet[Any]) -> None:
        """The first packet of RTSP has no time: its clock begins with it, or one picture later."""
        self._ahead = self._packet()
        if packet.pts is not None or self._ahead is None or self._ahead.pts is None:
            return
        other_piece = self._ahead.pts == 0 and self._ahead.is_keyframe
        packet.pts = 0 if self._ahead.pts > 0 or other_piece else self._ahead.pts - 1

    def _damaged(self, error: av.error.FFmpegError, packet: av.Packet[Any] | None) -> None:
        if isinstance(error, LOST):
            raise SourceLostError(f"{self._shown} stopped sending", code="STREAM_TIMEOUT") from None
        if packet is not None and not self._key_frame_came:
            return  # the decoder's error, not the demuxer's
        self.errors += 1
        self._in_a_row += 1
        self._unread += 1
        few = self._live or self._unread >= MOST_ERRORS_IN_A_ROW  # a demuxer that gets no further
        if self._in_a_row >= (MOST_ERRORS_IN_A_ROW if few else MOST_DAMAGED_OF_FILE):
            raise self._too_damaged()
        # The error may have come from the demuxer, whose generator is then used up.
        self._demuxed = self._container.demux(self._stream)

    def _too_damaged(self) -> SourceLostError:
        message = f"{self._shown} is damaged: {self._in_a_row} packets in a row"
        return SourceLostError(message, code="STREAM_DAMAGED")


def _joined(first: av.Packet[Any], second: av.Packet[Any]) -> av.Packet[Any]:
    made = av.Packet(bytes(first) + bytes(second))
    made.pts, made.dts, made.time_base = first.pts, first.dts, first.time_base
    made.duration, made.is_keyframe = first.duration, first.is_keyframe
    made.stream = first.stream
    return made
