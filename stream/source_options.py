"""How sources are opened."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from egomon.stream.frame import SourceKind
from egomon.stream.source import SilentListener, SourceListener

if TYPE_CHECKING:
    from egomon.stream.packet_ring import PacketRing


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source is opened; what does not apply to its kind is ignored."""

    kind: SourceKind | None = None
    """A stream that is a recording, or the other way round; None = what it is taken for."""
    open_timeout_seconds: float = 15.0
    """Slow cameras answer only with their first picture."""
    read_timeout_seconds: float = 5.0
    """Live: nothing for this long (and ten periods) is a lost connection."""
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
    rtsp_transport: Literal["auto", "tcp", "udp", "udp_multicast", "http"] = "auto"
    """RTSP: how packets travel; `auto` = TCP, and UDP where the server refuses it."""
    opened: object = None
    """A connection that was made to find out what the address is; used before a new one."""
    packets: PacketRing | None = None
    """Where compressed packets are kept for clips; None = nowhere. Files and streams only."""
    certificate: Path | None = None
    """Phone: certificate of its page, PEM; None = a self-made one."""
    private_key: Path | None = None
    """Phone: key of the certificate, PEM; None = in the same file."""
    gaze: bool = True
    """Glasses: also read where their wearer looks."""
    warmup_frames: int = 5
    """Camera: frames thrown away after opening, while exposure settles."""


@dataclass(frozen=True, slots=True, eq=False)
class OpenContext:
    """What every source is opened with, beside its address."""

    name: str = "source"
    """Topic name, for `SourceInfo.name`."""
    options: SourceOptions = SourceOptions()
    listener: SourceListener = field(default_factory=SilentListener)
    """Hears states and gaps; called in the reading thread."""
    clock: Callable[[], float] = time.monotonic
    """Monotonic seconds."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the monitor ends: opening and reading return soon after."""
