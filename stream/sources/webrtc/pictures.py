"""Compressed pictures between the server's thread and the one that reads the source."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

MOST_WAITING = 60
"""Two seconds of a fast camera; a reader that is later than that has stopped reading."""
# Start code and head of an H.264 slice of an IDR picture.
_KEY_UNIT = re.compile(rb"\x00\x00\x01[\x05\x25\x45\x65]")


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """One picture as it was sent."""

    codec: str
    """`VP8` or `H264`."""
    data: bytes
    pts_seconds: float
    """Time on the sender's media clock."""
    mono_ns: int
    """Monotonic clock at arrival."""
    wall_ns: int
    """Wall clock at arrival."""

    @property
    def is_key(self) -> bool:
        """Whether it can be decoded without those before it."""
        if self.codec == "VP8":
            return self.data[:1] != b"" and not self.data[0] & 1
        return _KEY_UNIT.search(self.data) is not None


class PictureQueue:
    """Bounded; when it is full all that waits makes room, up to the next key frame.

    Later pictures are made from earlier ones: without the oldest, the others are of no use.

    Args:
        want_key: called without the lock, in the thread of `put`, when a key frame is needed.
    """

    def __init__(self, want_key: Callable[[], None]) -> None:
        self._want_key = want_key
        self._changed = threading.Condition()
        self._waiting: deque[EncodedPicture] = deque()
        self._dropped = 0
        self._skips = False
        self.count = 0
        """Pictures that came, used or not."""
        self.closed = False

    def put(self, picture: EncodedPicture) -> None:
        """Add a picture; never waits."""
        with self._changed:
            self.count += 1
            if len(self._waiting) >= MOST_WAITING:
                self._dropped += len(self._waiting)
                self._waiting.clear()
                self._skips = True
            self._skips = self._skips and not picture.is_key
            if self._skips:
                self._dropped += 1
            else:
                self._waiting.append(picture)
                self._changed.notify()
        if self._skips:
            self._want_key()

    def take(self, timeout_seconds: float) -> EncodedPicture | None:
        """The oldest picture; None if none came in time, or after the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self.closed, timeout_seconds)
            return self._waiting.popleft() if self._waiting else None

    def take_dropped(self) -> int:
        """How many pictures made room since the last call."""
        with self._changed:
            dropped, self._dropped = self._dropped, 0
            return dropped

    def close(self) -> None:
        """Forget what waits and end `take`."""
        with self._changed:
            self.closed = True
            self._waiting.clear()
            self._changed.notify_all()
