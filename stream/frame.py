"""Types that carry pixels: `Grab` of a source, `Frame` of the buffer, `Segment` of the branches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

UInt8Image = NDArray[np.uint8]
"""(H, W, 3) RGB."""

PrepareImage = Callable[[UInt8Image], UInt8Image]
"""Full-size RGB (H, W, 3) to the frame encoder's input (S, S, 3); the encoder supplies it."""

SourceKind = Literal["file", "live"]
"""Files wait for the consumer and give every frame; live sources drop the oldest."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """Properties of an open source."""

    name: str
    """Topic name on the bus: `[a-z0-9_-]{1,32}`."""
    uri: str
    """Address of the source, with credentials removed."""
    kind: SourceKind
    width: int
    height: int
    fps: float | None
    """Nominal frame rate; None where the container does not say."""
    duration_seconds: float | None
    """Length of a file; None for live sources or where unknown."""


@dataclass(frozen=True, slots=True)
class Gaze:
    """Gaze of the wearer, as a point of the whole picture that the source sends."""

    x: float
    """Share of the width, from the left edge; below 0 and above 1 it is beside the picture."""
    y: float
    """Share of the height, from the upper edge."""
    worn: bool
    """False while the glasses are not on; x and y then mean nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Grab:
    """One frame that a source has decoded but not yet converted.

    Only grabs that fall on the sampling grid are converted; `to_rgb` may be called at most once,
    in the reading thread, before the next `read`.
    """

    t_seconds: float
    """Media time from the source's first frame, strictly increasing within an epoch."""
    mono_ns: int
    """Monotonic clock at arrival."""
    wall_ns: int
    """Wall clock at arrival, nanoseconds since 1970."""
    index: int
    """Counts grabs from 0; a step of more than one means dropped frames."""
    epoch: int
    """Grows by one at each discontinuity (reconnect, jump in time); no clip spans two epochs."""
    to_rgb: Callable[[], UInt8Image]
    """Converts to RGB uint8 (H, W, 3), rotated upright."""
    pts_seconds: float | None = None
    """Time on the source's own clock, where it has one."""
    gaze: Gaze | None = None
    """See `Frame`."""


@dataclass(frozen=True, slots=True, eq=False)
class Detail:
    """One frame of the source that is not on the sampling grid, for the large branch. Read-only."""

    t_seconds: float
    image: UInt8Image
    """As `Frame.detail`."""

    def __post_init__(self) -> None:
        self.image.setflags(write=False)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One sampled frame, resized once. Its arrays are read-only."""

    image: UInt8Image
    """(S, S, 3) RGB uint8, ready for the frame encoder."""
    detail: UInt8Image | None
    """(H, W, 3) RGB uint8, bigger, for the large branch and evidence; None where not kept."""
    t_seconds: float
    mono_ns: int
    wall_ns: int
    index: int
    epoch: int
    pts_seconds: float | None = None
    """Time on the source's own clock, where it has one."""
    gaze: Gaze | None = None
    """The newest gaze that arrived at most 0.1 s before the frame did: matched by arrival here,
    not by the clocks of the sensors. None where none did, and for every source but glasses."""
    between: tuple[Detail, ...] = ()
    """Frames of the source since the one sampled before, where the large branch takes its own."""
    letterboxed: bool = False
    """`detail` keeps the source's proportions, between black bars; else it is squashed."""

    def __post_init__(self) -> None:
        self.image.setflags(write=False)
        if self.detail is not None:
            self.detail.setflags(write=False)

    @property
    def nbytes(self) -> int:
        """Bytes of pixels held."""
        detail = 0 if self.detail is None else self.detail.nbytes
        return self.image.nbytes + detail + sum(each.image.nbytes for each in self.between)

    def __repr__(self) -> str:
        detail = None if self.detail is None else self.detail.shape
        place = f"t={self.t_seconds:.3f}s, #{self.index}, epoch {self.epoch}"
        return f"Frame({place}, {self.image.shape}, detail={detail})"


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """The fine clip V^f: the half-open span [t_start, t_end) of one source."""

    index: int
    """Counts segments of one source from 0."""
    source: str
    t_start: float
    t_end: float
    epoch: int
    times: NDArray[np.float64]
    """(T,) media seconds of the scored frames, ascending."""
    frames: tuple[Frame, ...] = field(default=(), repr=False)
    """Pixels for the large branch and evidence: frames of the span that the buffer still holds,
    evenly thinned to what the large branch takes; their times are their own."""
    dropped: int = 0
    """Grid points of this span without a frame."""
    text: str | None = None
    """Step name, for segments given from a file."""
    gaze: tuple[Gaze, ...] = field(default=(), repr=False)
    """Of all frames of the span that the buffer still holds and that have one, in order."""
    clip: tuple[Detail, ...] = field(default=(), repr=False)
    """What the large branch takes instead of `frames`, where it samples the source itself."""

    @property
    def duration_seconds(self) -> float:
        """Length of the span in seconds."""
        return self.t_end - self.t_start
