"""Live sources: stalls are noticed, lost connections are opened again, nothing blocks for long.

```
connecting -> online -> stalled (no frame for max(2 s, 5 periods)) -> online
                     -> reconnecting (nothing for max(5 s, 10 periods), or lost)
                     -> online, epoch + 1
reconnecting -> offline after `give_up_seconds` (never by default)
close() -> ended
```
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import replace

from egomon.errors import SourceError, SourceLostError, SourceOpenError
from egomon.stream.backoff import RESET_SECONDS, Backoff
from egomon.stream.frame import Grab, SourceInfo
from egomon.stream.media_clock import MediaClock
from egomon.stream.source import Discontinuity, StateChange
from egomon.stream.source_options import OpenContext
from egomon.stream.sources.closable import ClosableSource
from egomon.stream.sources.device_thread import Cancelled
from egomon.stream.sources.network.connection import Connection, RawFrame
from egomon.stream.sources.network.free_memory import give_back_memory
from egomon.units import SECONDS_PER_NS

logger = logging.getLogger(__name__)

# Counted in pictures too: a camera that sends one every two seconds is not stalled after one.
STALL_PERIODS = 5
DEAD_PERIODS = 10
USUAL_SHARE = 0.25
"""Of the newest wait, in the average of waits between frames."""
KEY_FRAME_SECONDS = 60.0
"""Cameras that save bandwidth send a key frame every 20 s or less often."""
CHECK_SECONDS = 0.2
"""Longest single wait for a frame: a connection need not watch the event itself."""


class Reconnecting(ClosableSource):
    """A live source that opens a new connection whenever one is lost.

    Args:
        info: name and address; size and rate are filled in once connected (until then 0).
        connect: makes an unopened connection, in the reading thread; it watches the event, which
            is set when the source is closed.
        context: time-outs, listener, clock; its `stop` cuts the first opening short.
        wait: sleeps until the event or so many seconds; True if the event is set.
        rng: jitter.
        once: the end of the first connection is the end of the source.

    Raises:
        SourceOpenError: the first opening failed and `options.wait_source` is off.
    """

    def __init__(
        self,
        info: SourceInfo,
        connect: Callable[[threading.Event], Connection],
        context: OpenContext,
        *,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
        rng: random.Random | None = None,
        once: bool = False,
    ) -> None:
        super().__init__(context.stop)
        self._once = once
        self._info, self._connect = info, connect
        self._options, self._listener = context.options, context.listener
        self._clock, self._wait = context.clock, wait
        self._backoff = Backoff(rng)
        self._media = MediaClock(self._listener, live=True)
        self._connection: Connection | None = None
        self._ever_online, self._ended = False, False
        self._usual_seconds = 0.0
        self._offline_since = self._online_since = self._clock()
        self._tell("connecting")
        if not self._options.wait_source:
            try:
                self._open()
            except Cancelled:
                raise SourceOpenError(
                    f"{info.uri}: closed while connecting", code="STREAM_TIMEOUT"
                ) from None

    @property
    def info(self) -> SourceInfo:
        """See `Source`."""
        return self._info

    def read(self) -> Grab | None:
        """See `Source`."""
        with self._lock:
            try:
                while not self._stop.is_set():
                    if self._connection is None and not self._reopen():
                        continue
                    if (grab := self._next()) is not None:
                        return grab
            except Cancelled:
                pass
            except SourceError:
                self._drop()
                raise
            self._finish()
            return None

    def _open(self) -> None:
        connection = self._connect(self._stop)
        try:
            width, height, fps = connection.open()
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._info = replace(self._info, width=width, height=height, fps=fps)
        if fps:
            self._media.period_seconds = 1.0 / fps
        self._fresh = True

    def _reopen(self) -> bool:
        """Make one more attempt, after its wait; False if it failed."""
        give_up = self._options.give_up_seconds
        if give_up is not None and self._clock() - self._offline_since >= give_up:
            message = f"{self._info.uri} did not come back within {give_up:g} s"
            self._tell("offline", "STREAM_TIMEOUT", message)
            raise SourceLostError(message + "; check the camera", code="STREAM_TIMEOUT")
        if self._backoff.attempt and self._wait(self._stop, self._backoff.pause_seconds):
            return False
        try:
            self._open()
        except SourceOpenError as error:
            self._schedule(error)
            return False
        return True

    def _schedule(self, error: SourceError) -> None:
        """Choose the wait before the next attempt and report it."""
        pause_seconds, attempt = self._backoff.fail(), self._backoff.attempt
        state = "reconnecting" if self._ever_online else "connecting"
        logger.warning("%s: %s; attempt %d follows", self._info.uri, error, attempt)
        self._listener.on_state(
            StateChange(
                state,  # type: ignore[arg-type]
                error.code,
                str(error),
                attempt=attempt,
                next_retry_seconds=round(pause_seconds, 3),
            )
        )

    def _next(self) -> Grab | None:
        """The next frame; None if it was dropped or the connection died."""
        try:
            raw = self._await_frame()
        except SourceLostError as error:
            if self._once:
                if error.code == "STREAM_ENDED":
                    self._stop.set()
                    raise Cancelled from None
                raise
            self._lost(error)
            return None
        if self._fresh:
            self._came_online()
        if raw.size is not None and raw.size != (self._info.width, self._info.height):
            self._info = replace(self._info, width=raw.size[0], height=raw.size[1])
        if raw.lost:
            self._media.skip(raw.lost)
            self._listener.on_gap(Discontinuity("decode_error", raw.lost))
        stamp = self._media.stamp(raw.pts_seconds, raw.mono_ns * SECONDS_PER_NS)
        if stamp is None:
            return None
        return Grab(
            t_seconds=stamp.t_seconds,
            mono_ns=raw.mono_ns,
            wall_ns=raw.wall_ns,
            index=stamp.index,
            epoch=stamp.epoch,
            to_rgb=raw.to_rgb,
            pts_seconds=raw.pts_seconds,
            gaze=raw.gaze,
        )

    def _await_frame(self) -> RawFrame:
        """Wait for a frame. Data without pictures is a sign of life: their key frame is to come.

        Raises:
            SourceLostError: nothing came for too long, or nothing that makes a picture.
        """
        assert self._connection is not None
        begin = alive = self._clock()
        packets, stalled = self._connection.packets, False
        stall_after = max(self._options.stall_seconds, STALL_PERIODS * self._period_seconds)
        dead_after = max(self._options.read_timeout_seconds, DEAD_PERIODS * self._period_seconds)
        while True:
            if self._stop.is_set():
                raise Cancelled
            now = self._clock()
            if self._connection.packets != packets:
                alive, packets = now, self._connection.packets
            if now - alive >= dead_after:
                message = f"{self._info.uri} sent nothing for {dead_after:g} s"
                raise SourceLostError(message, code="STREAM_TIMEOUT")
            if now - begin >= max(KEY_FRAME_SECONDS, dead_after):
                message = f"{self._info.uri} sends data, but no picture that can be decoded"
                raise SourceLostError(message, code="STREAM_DAMAGED")
            if now - begin >= stall_after and not stalled:
                stalled = True
                self._tell_waiting(is_alive=alive > begin or (self._fresh and packets > 0))
            until = alive + dead_after if stalled else min(begin + stall_after, alive + dead_after)
            raw = self._connection.read(min(until - now, CHECK_SECONDS))
            if raw is not None:
                if stalled and not self._fresh:
                    self._tell("online")
                # Slow cameras are known by the waits between their frames.
                usual = USUAL_SHARE * (self._clock() - begin)
                self._usual_seconds = usual + (1 - USUAL_SHARE) * self._usual_seconds
                return raw

    @property
    def _period_seconds(self) -> float:
        """Between two frames: as the device says, or as it was seen to be."""
        return max(self._media.period_seconds, self._usual_seconds)

    def _tell_waiting(self, *, is_alive: bool) -> None:
        if is_alive:
            state = "reconnecting" if self._ever_online else "connecting"
            message = f"{self._info.uri} sends data; waiting for a key frame"
            self._tell(state if self._fresh else "stalled", "STREAM_NO_KEY_FRAME", message)
        else:
            self._tell("stalled", "STREAM_TIMEOUT", f"{self._info.uri} sends no frames")

    def _came_online(self) -> None:
        self._fresh = False
        if self._ever_online:
            self._media.reconnected()
        self._ever_online = True
        self._online_since = self._clock()
        self._tell("online")

    def _lost(self, error: SourceLostError) -> None:
        now = self._clock()
        if not self._fresh and now - self._online_since >= RESET_SECONDS:
            self._backoff.reset()
        if not self._fresh:
            self._offline_since = now
        self._drop()
        self._schedule(error)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
            del connection
            give_back_memory()

    def _finish(self) -> None:
        self._drop()
        if not self._ended:
            self._ended = True
            self._media.finish()
            self._tell("ended")

    def _tell(self, state: str, code: str | None = None, message: str | None = None) -> None:
        self._listener.on_state(StateChange(state, code, message))  # type: ignore[arg-type]
