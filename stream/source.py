"""The seam to the outside world: what a source must do, and what it reports about itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Protocol, Self, runtime_checkable

from egomon.stream.frame import Grab, SourceInfo

SourceState = Literal["connecting", "online", "stalled", "reconnecting", "offline", "ended"]

GapCause = Literal[
    "staleness",  # the frame waited longer than the staleness budget
    "buffer_full",  # the buffer was full and the oldest frame made room
    "decode_error",  # damaged data
    "out_of_order",  # the frame's time did not advance
    "reconnect",  # the source was lost and opened again
    "pts_jump",  # time stepped forward by more than the gap limit
    "refine_queue_full",
    "deadline",
    "crash",  # the worker that held the frames crashed and was started again
]


@dataclass(frozen=True, slots=True)
class StateChange:
    """A source went from one state to another."""

    state: SourceState
    code: str | None = None
    """Stable error code, see `SourceError`; None when there is no error."""
    message: str | None = None
    """One sentence, credentials removed."""
    attempt: int = 0
    """Reconnection attempt, from 1; 0 when not reconnecting."""
    next_retry_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Discontinuity:
    """Frames that never reach the encoder, and why."""

    cause: GapCause
    count: int
    """Number of frames lost; 0 where only time was lost (reconnect, pts_jump)."""
    from_seconds: float | None = None
    to_seconds: float | None = None


class SourceListener(Protocol):
    """Hears what happens inside a source, in the reading thread."""

    def on_state(self, change: StateChange) -> None:
        """The source changed state."""

    def on_gap(self, gap: Discontinuity) -> None:
        """Frames or time were lost."""


class SilentListener:
    """A listener that ignores everything."""

    def on_state(self, change: StateChange) -> None:
        """Ignore."""

    def on_gap(self, gap: Discontinuity) -> None:
        """Ignore."""


@runtime_checkable
class Source(Protocol):
    """Anything that delivers frames in order of time.

    A source is created, read and reopened in one thread; only `close` may be called from
    another thread, and it makes a blocked `read` return None within two seconds.
    """

    @property
    def info(self) -> SourceInfo:
        """What is known about the source."""

    def read(self) -> Grab | None:
        """Block for the next frame; None when the source has ended or was closed.

        Raises:
            SourceLostError: the source died and will not come back by itself.
        """

    def close(self) -> None:
        """Release everything; may be called twice and from another thread."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


def topic_name(stem: str) -> str:
    """A source's name as topics can carry it.

    >>> topic_name("My Video")
    'my-video'
    """
    return re.sub(r"[^a-z0-9_-]+", "-", stem.lower()).strip("-")[:28].strip("-") or "source"
