"""A clip from packets as the source sent them: its own quality, hardly any CPU."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import av

from egomon.fusion.media.images import clip_evidence
from egomon.fusion.media.output_file import OutputFile, written_whole
from egomon.fusion.messages.types import Evidence
from egomon.stream.packet_ring import PacketClip, as_packet

# What is needed to decode but begins before the clip gets times below 0, and an edit list in the
# file says not to show it: key frames may be many seconds apart.
OPTIONS = {"movflags": "+faststart", "avoid_negative_ts": "disabled"}

WritePackets = Callable[[Path, PacketClip], Evidence]


def write_packets(path: Path, clip: PacketClip) -> Evidence:
    """Write packets as an mp4; it appears under its name only once it is complete.

    Raises:
        StoreError: the folder is gone, the disk is full, or mp4 does not take these packets.
    """
    written_whole(path, lambda file: _mux(file, clip))
    return clip_evidence(path, clip.size)


def _mux(file: OutputFile, clip: PacketClip) -> None:
    with (
        av.open(io.BytesIO(clip.head), format="nut") as head,
        av.open(file, "w", format="mp4", options=OPTIONS) as container,
    ):
        stream = container.add_stream_from_template(head.streams.video[0])
        for packet in clip.packets:
            container.mux(as_packet(packet, stream, clip.time_base, shift=clip.start))
