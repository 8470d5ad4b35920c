"""What a live connection reads its frames with, once it knows what is sent."""

from __future__ import annotations

import time
from typing import Any, Protocol

from av.codec.context import Flags

from egomon.stream.packet_ring import PacketRing
from egomon.stream.sources.decoding.container import video_stream
from egomon.stream.sources.decoding.decode import Converter, VideoDecoder
from egomon.stream.sources.network.connection import RawFrame

WITHOUT_TIMES = {"mjpeg", "h264", "hevc", "m4v", "mpegvideo"}
"""Formats whose times FFmpeg makes up from a guessed rate: arrival is nearer to the truth."""


class FrameReader(Protocol):
    """Frames of one connection, in the thread that owns it."""

    @property
    def packets(self) -> int:
        """What has come so far, whether it made pictures or not: a sign of life."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as far as known, else 0."""

    @property
    def fps(self) -> float | None:
        """Nominal rate; None = unknown."""

    def next(self) -> RawFrame | None:
        """Block for the next frame; None at the end.

        Raises:
            SourceLostError: a time-out, or too much damage.
        """

    def close(self) -> None:
        """Release the connection."""


class ContainerReader:
    """Frames of a container that FFmpeg reads.

    Args:
        container: open; closed by `close`.
        shown: redacted address.
        ring: where packets are kept.
    """

    def __init__(self, container: Any, shown: str, ring: PacketRing | None) -> None:
        stream = video_stream(container, shown)
        # Frame threads would hold back one frame for each thread.
        stream.thread_type = "SLICE"
        stream.codec_context.flags |= Flags.low_delay
        self.size = stream.codec_context.width, stream.codec_context.height
        self.fps = float(stream.average_rate) if stream.average_rate else None
        self._arrival_times = container.format.name in WITHOUT_TIMES
        self._container = container
        self._decoder = VideoDecoder(container, stream, shown, ring, live=True)
        self._convert = Converter(stream.sample_aspect_ratio)
        self._errors = 0

    @property
    def packets(self) -> int:
        """See `FrameReader`."""
        return self._decoder.packets

    def next(self) -> RawFrame | None:
        """See `FrameReader`."""
        frame = self._decoder.next()
        lost, self._errors = self._decoder.errors - self._errors, self._decoder.errors
        if frame is None:
            return None
        pts = None if self._arrival_times else self._decoder.seconds(frame)
        to_rgb = self._convert.deferred(frame)
        return RawFrame(
            pts,
            time.monotonic_ns(),
            time.time_ns(),
            to_rgb,
            lost,
            size=self._convert.shown_size(frame),
        )

    def close(self) -> None:
        """See `FrameReader`."""
        self._container.close()
