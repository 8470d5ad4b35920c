"""Gaze of Pupil Labs glasses: read beside the video, which never waits for it.

Pupil Labs' Real-Time API (github.com/pupil-labs/realtime-python-api, docs/guides/under-the-hood.md
and streaming/gaze.py): an RTSP stream of the encoding `com.pupillabs.gaze1` with one datum in each
packet, in network byte order: x and y in pixels of the scene camera (float32) and one byte, 255
where the glasses are worn and 0 where not. A second point of 8 bytes is the other eye's; what else
follows tells of pupils and eyelids, and is not read.
"""

from __future__ import annotations

import logging
import math
import random
import struct
import threading
import time
from collections.abc import Callable

from egomon.errors import SourceError
from egomon.stream.backoff import RESET_SECONDS, Backoff
from egomon.stream.frame import Gaze
from egomon.stream.sources.device_thread import Cancelled
from egomon.stream.sources.pupil.rtsp_client import RtspClient

logger = logging.getLogger(__name__)

ENCODING = "com.pupillabs.gaze1"
FRESH_SECONDS = 0.1
"""Longest age of a gaze that is attached to a frame, seconds."""
# `close` is promised within a second, and the video's own thread needs the rest.
JOIN_SECONDS = 0.3
DATUM = struct.Struct(">ffB")
SECOND_EYE = struct.Struct(">ff")


def parse_gaze(payload: bytes, width: int, height: int) -> Gaze | None:
    """One datum as shares of a picture of `width` times `height` pixels; None if it is none.

    >>> parse_gaze(struct.pack(">ffB", 400.0, 900.0, 255), 1600, 1200)
    Gaze(x=0.25, y=0.75, worn=True)
    """
    if len(payload) < DATUM.size:
        return None
    x, y, worn = DATUM.unpack_from(payload)
    if len(payload) == DATUM.size + SECOND_EYE.size:
        other_x, other_y = SECOND_EYE.unpack_from(payload, DATUM.size)
        x, y = (x + other_x) / 2, (y + other_y) / 2
    if not (math.isfinite(x) and math.isfinite(y)) or worn not in (0, 255):
        return None
    return Gaze(x / width, y / height, worn == 255)


class GazeReader:
    """A thread that holds the newest gaze and opens a new connection whenever one is lost.

    Args:
        find: asks for the RTSP address, in the thread.
        size: width and height of the scene camera's picture.
        shown: the glasses' redacted address.
        timeout_seconds: no gaze for this long is a lost connection.
        clock: monotonic seconds, the clock of the frames.
        wait: sleeps until the event or so many seconds.
        rng: jitter.
    """

    def __init__(
        self,
        find: Callable[[], str],
        size: tuple[int, int],
        shown: str,
        *,
        timeout_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Event, float], object] = threading.Event.wait,
        rng: random.Random | None = None,
    ) -> None:
        self._find, self._size, self._shown = find, size, shown
        self._timeout_seconds, self._clock, self._wait = timeout_seconds, clock, wait
        self._backoff = Backoff(rng)
        self._newest: tuple[float, Gaze] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"gaze {shown}", daemon=True)
        self._thread.start()

    def at(self, mono_seconds: float) -> Gaze | None:
        """The newest gaze, if it came at most 0.1 s before this moment."""
        if self._newest is None:
            return None
        arrived, gaze = self._newest
        return gaze if mono_seconds - arrived <= FRESH_SECONDS else None

    def close(self) -> None:
        """End the thread; waits shortly for it. May be called twice."""
        self._stop.set()
        self._thread.join(JOIN_SECONDS)

    def _work(self) -> None:
        while not self._stop.is_set():
            begin = self._clock()
            try:
                self._read()
            except Cancelled:
                return
            except (SourceError, OSError) as error:
                self._failed(error, self._clock() - begin)

    def _read(self) -> None:
        """Read until the connection is lost."""
        with RtspClient(
            self._find(),
            encoding=ENCODING,
            stop=self._stop,
            timeout_seconds=self._timeout_seconds,
            clock=self._clock,
        ) as stream:
            deadline = self._clock() + self._timeout_seconds
            while True:
                gaze = parse_gaze(stream.next(deadline), *self._size)
                if gaze is not None:
                    now = self._clock()
                    self._newest, deadline = (now, gaze), now + self._timeout_seconds

    def _failed(self, error: Exception, lasted_seconds: float) -> None:
        if lasted_seconds >= RESET_SECONDS:
            self._backoff.reset()
        level = logging.DEBUG if self._backoff.attempt else logging.WARNING
        logger.log(level, "%s: %s (the video goes on without gaze)", self._shown, error)
        self._wait(self._stop, self._backoff.fail())
