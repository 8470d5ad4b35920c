"""Media time: strictly increasing within an epoch, whatever the container or the camera writes."""

from __future__ import annotations

from dataclasses import dataclass

from egomon.stream.source import Discontinuity, GapCause, SourceListener

# Slow cameras send a picture every second or two: that is no pause.
GAP_SECONDS = 2.0
GAP_PERIODS = 20
"""A forward jump of at least both is a discontinuity: it begins a new epoch."""
BACK_SECONDS = 1.0
"""Back by more than this: the writer began a new clock. By less: a frame out of order."""
MOST_JUMP_SECONDS = 3600.0
"""A longer jump forward is a broken clock, not a pause."""
# Of a container that states none: between cinema's 24 and NTSC's 30.
FALLBACK_FPS = 25.0


@dataclass(frozen=True, slots=True)
class Stamp:
    """Media time and epoch of a frame."""

    t_seconds: float
    epoch: int
    index: int


class MediaClock:
    """Turns the presentation times of a source into media time; every source uses one.

    Frames that do not advance get no stamp; each run of them is reported as one `out_of_order`
    gap. Jumps begin a new epoch. After a reconnection, or when the writer's clock starts anew,
    live sources go on at the time the monotonic clock says, recordings one period later.

    Args:
        listener: called with each gap.
        live: True where arrival times are meaningful.
        fps: nominal rate; None = unknown.
    """

    def __init__(self, listener: SourceListener, *, live: bool, fps: float | None = None) -> None:
        self._listener = listener
        self._live = live
        self.period_seconds = 1.0 / (fps or FALLBACK_FPS)
        self._index = self._epoch = self._late = 0
        self._t: float | None = None
        self._pts: float | None = None
        self._offset = self._first_arrival = 0.0
        self._by_arrival = self._again = self._told = False

    def skip(self, count: int = 1) -> None:
        """Count frames that were lost before they had a time."""
        self._index += count

    def reconnected(self, *, told: bool = False) -> None:
        """The next frame comes from a new connection; `told`: its gap is already reported."""
        self._again, self._told, self._by_arrival, self._pts = True, told, False, None

    def stamp(self, pts_seconds: float | None, arrival_seconds: float) -> Stamp | None:
        """Place one frame.

        Args:
            pts_seconds: the writer's time; None where missing: live sources that never had one
                are timed by arrival, others go on at the nominal rate.
            arrival_seconds: monotonic clock at arrival.

        Returns:
            None for a frame that has to be dropped because its time does not advance.
        """
        index, self._index = self._index, self._index + 1
        pts = self._complete(pts_seconds, arrival_seconds)
        if self._t is None:
            self._offset, self._first_arrival = -pts, arrival_seconds
            return self._advance(pts, index)
        if self._pts is None:
            goes_on = 0 < pts + self._offset - self._t <= MOST_JUMP_SECONDS
            by_arrival = None if goes_on and not self._live else self._live
            return self._jump(pts, arrival_seconds, index, by_arrival=by_arrival)
        step = pts - self._pts
        if -BACK_SECONDS <= step <= 0:
            self._late += 1
            return None
        if step < 0 or step > MOST_JUMP_SECONDS:
            return self._jump(pts, arrival_seconds, index, by_arrival=self._live)
        if step >= max(GAP_SECONDS, GAP_PERIODS * self.period_seconds):
            return self._jump(pts, arrival_seconds, index, by_arrival=None)
        return self._advance(pts, index)

    def finish(self) -> None:
        """Report the gap that is still open."""
        if self._late:
            self._listener.on_gap(Discontinuity("out_of_order", self._late, self._t, self._t))
            self._late = 0

    def _complete(self, pts: float | None, arrival: float) -> float:
        if self._live and pts is None and self._pts is None:
            self._by_arrival = True
        if self._by_arrival:
            return arrival
        if pts is None:
            return 0.0 if self._pts is None else self._pts + self.period_seconds
        return pts

    def _jump(self, pts: float, arrival: float, index: int, *, by_arrival: bool | None) -> Stamp:
        """Begin a new epoch: by the writer's clock (None), by arrival, or one period later."""
        assert self._t is not None
        before = self._t
        if by_arrival is not None:
            target = before + self.period_seconds
            if by_arrival:
                target = max(before + 1e-3, arrival - self._first_arrival)
            self._offset = target - pts
        self._epoch += 1
        if not self._told:
            cause: GapCause = "reconnect" if self._again else "pts_jump"
            self._listener.on_gap(Discontinuity(cause, 0, before, pts + self._offset))
        self._again = self._told = False
        return self._advance(pts, index)

    def _advance(self, pts: float, index: int) -> Stamp:
        before, self._pts = self._t, pts
        # The first frame is at exactly 0; adding an offset could round two times into one.
        self._t = pts + self._offset
        if before is not None and self._t <= before:
            self._t = before + 1e-6
        if self._late:
            self._listener.on_gap(Discontinuity("out_of_order", self._late, before, self._t))
            self._late = 0
        return Stamp(self._t, self._epoch, index)
