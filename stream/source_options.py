"""How sources are opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from egomon.stream.packet_ring import PacketRing


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source is opened; what does not apply to its kind is ignored."""

    open_timeout_seconds: float = 5.0
    read_timeout_seconds: float = 5.0
    """Live: no frame for this long is a lost connection."""
    stall_seconds: float = 2.0
    """Live: no frame for this long (and five periods) is a stall."""
    wait_source: bool = False
    """Live: keep trying if the first opening fails."""
    give_up_seconds: float | None = None
    """Live: offline for this long is the end; None = try for ever."""
    size: tuple[int, int] | None = None
    """Camera: width and height."""
    fps: float | None = None
    """Camera: frame rate."""
    packets: PacketRing | None = None
    """Where compressed packets are kept for clips; None = nowhere. Files and streams only."""
    gaze: bool = True
    """Glasses: also read where their wearer looks."""
    warmup_frames: int = 5
    """Camera: frames thrown away after opening, while exposure settles."""
