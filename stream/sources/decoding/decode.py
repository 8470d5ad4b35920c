"""What all PyAV sources share: decoding and conversion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import av
import av.error
import numpy as np
from av.video.reformatter import VideoReformatter

from egomon.errors import SourceLostError
from egomon.stream.frame import UInt8Image
from egomon.stream.packet_ring import PacketRing
from egomon.stream.sources.decoding.colour import ToneMapper, needs_mapping
from egomon.stream.sources.decoding.orientation import UPRIGHT, Orientation, lay, orientation_of

# A second of damage, as a lost packet makes, is skipped; more is a broken file.
MOST_ERRORS_IN_A_ROW = 30
JOINED = {"h264", "hevc"}
"""Codecs whose pieces of one picture may be put one behind the other."""
# Time-outs arrive as ExitError, broken connections as the system's own errors.
LOST = (av.error.ExitError, OSError)


class Converter:
    """Decoded frames of one source, in order, to upright RGB of standard range.

    One reformatter saves a third of the cost. An orientation that a camera sends inside its video
    (H.264 and H.265, display orientation SEI) comes with few frames: it holds until the next.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._tone_mapper = ToneMapper()
        self.orientation = UPRIGHT
        """Of the last frame given."""

    def deferred(self, frame: av.VideoFrame) -> Callable[[], UInt8Image]:
        """A conversion to be done only if the frame is sampled."""
        self.orientation = orientation = orientation_of(frame, self.orientation)
        return lambda: self._convert(frame, orientation)

    def __call__(self, frame: av.VideoFrame) -> UInt8Image:
        """RGB uint8 (H, W, 3), contiguous, of a frame that stands for itself."""
        return self._convert(frame, orientation_of(frame))

    def _convert(self, frame: av.VideoFrame, orientation: Orientation) -> UInt8Image:
        if needs_mapping(frame):
            rgb = self._tone_mapper(frame)
        else:
            rgb = self._reformatter.reformat(frame, format="rgb24")
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
            packets in a row (code STREAM_DAMAGED).
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
        self._in_a_row = 0
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
                    return None
                if self._ring is not None:
                    self._ring.add(packet)
                self._key_frame_came = self._key_frame_came or packet.is_keyframe
                decoded = packet.decode()
            except av.error.EOFError:
                return None
            except av.error.FFmpegError as error:
                self._damaged(error, packet)
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
        if self._in_a_row >= MOST_ERRORS_IN_A_ROW:
            message = f"{self._shown} is damaged: {self._in_a_row} packets in a row"
            raise SourceLostError(message, code="STREAM_DAMAGED") from None
        # The error may have come from the demuxer, whose generator is then used up.
        self._demuxed = self._container.demux(self._stream)


def _joined(first: av.Packet[Any], second: av.Packet[Any]) -> av.Packet[Any]:
    made = av.Packet(bytes(first) + bytes(second))
    made.pts, made.dts, made.time_base = first.pts, first.dts, first.time_base
    made.duration, made.is_keyframe = first.duration, first.is_keyframe
    made.stream = first.stream
    return made
