"""The emit thread: owns fusion's state, the store and the sockets; everything leaves through it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping

import msgspec
import zmq

from egomon.branches.lane import Progress
from egomon.fusion.bus import AlertBus
from egomon.fusion.control import ControlHandler
from egomon.fusion.evidence_desk import EvidenceDesk
from egomon.fusion.refine import RefineResult
from egomon.fusion.stage import Refinement, SourceStage
from egomon.fusion.wire import (
    AlertData,
    Data,
    ErrorInfo,
    GapData,
    Reason,
    StatsData,
    StatusData,
)
from egomon.monitor.messages import Ended, Notice, Scored
from egomon.stream.channel import Channel, ChannelClosed, Wake
from egomon.stream.source import Gap, StateChange
from egomon.stream.worker import Worker

POLL_MS = 250
TIMER_SECONDS = 1.0
STAGE_STUCK = "STAGE_STUCK"
"""Error code of a status while the watchdog sees a stage that does not move."""


class Emitter:
    """Body of the emit thread.

    Args:
        stages: fusion state by source.
        inbox: scored segments and progress, in order.
        results: answers of the large worker.
        notices: state changes and gaps from the producers.
        wake: notified by all three channels.
        stats: gives the current statistics of a source.
        ordered: replay: wait for the large branch instead of letting segments pass.
    """

    def __init__(
        self,
        stages: Mapping[str, SourceStage],
        refinement: Refinement,
        outlet: EvidenceDesk,
        bus: AlertBus,
        control: ControlHandler,
        *,
        inbox: Channel[Scored],
        results: Channel[RefineResult],
        notices: Channel[Notice],
        wake: Wake,
        stats: Callable[[str], StatsData],
        ordered: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stages = stages
        self._refinement = refinement
        self._outlet = outlet
        self._bus = bus
        self._control = control
        self._inbox = inbox
        self._results = results
        self._notices = notices
        self._wake = wake
        self._stats = stats
        self._ordered = ordered
        self._clock = clock
        self._status = {name: StatusData(source_state="connecting") for name in stages}
        self._next_timer = clock()
        self.alerts: Counter[str] = Counter()
        self.latest_stats: dict[str, object] = {}
        """Last statistics by source, for requests."""
        self.close_reason: Reason = "source_ended"
        """Why alerts end when their source is over; `shutdown` after a signal."""
        self.trouble: str | None = None
        """What the watchdog found; shown in every source's status."""

    @property
    def degraded(self) -> bool:
        """True if any source runs without its large branch at the moment."""
        return self._refinement.degraded

    def source_state(self, source: str) -> str:
        """Last state of a source."""
        return self._status[source].source_state

    def domain(self, source: str) -> str:
        """Last domain state of a source."""
        return self._status[source].domain

    def run(self, worker: Worker) -> None:
        """Until the inbox is closed and empty and nothing is pending."""
        poller = zmq.Poller()
        poller.register(self._wake.fileno(), zmq.POLLIN)
        for socket, flags in self._bus.sockets_to_poll:
            poller.register(socket, flags)
        done = False
        while not done:
            poller.poll(POLL_MS)
            worker.beat()
            self._wake.clear()
            done = self.step()

    def step(self) -> bool:
        """Handle everything that waits; True when the run is over."""
        self._take_notices()
        self._take_results()
        over = self._take_scored()
        for source, update in self._outlet.ready():
            self._emit(source, update)
        self._bus.serve(self._control)
        for name, stage in self._stages.items():
            self._emit_all(name, stage.tick())
            self._refresh_status(name)
        if self._clock() >= self._next_timer:
            self._next_timer = self._clock() + TIMER_SECONDS
            self._timers()
        return over

    def finish(self) -> None:
        """Close every alert; called by the emit thread's owner after `run`, even after a crash."""
        self._take_notices()
        for name, stage in self._stages.items():
            self._emit_all(name, stage.finish(self.close_reason))
            self._change(name, source_state="ended")
        self._timers()

    def _take_notices(self) -> None:
        while True:
            try:
                notice = self._notices.get(0)
            except ChannelClosed:
                return
            if notice is None:
                return
            self._on_notice(notice)

    def _on_notice(self, notice: Notice) -> None:
        event = notice.event
        if isinstance(event, Gap):
            gap = GapData(
                cause=event.cause,
                count=event.count,
                from_pts=event.from_seconds,
                to_pts=event.to_seconds,
            )
            self._emit(notice.source, gap)
            return
        self._on_state(notice.source, event)

    def _on_state(self, source: str, change: StateChange) -> None:
        if change.state == "ended":
            return  # reported once everything before it is scored
        error = None
        if change.code is not None:
            error = ErrorInfo(code=change.code, message=change.message or change.code)
        self._change(
            source,
            source_state=change.state,
            attempt=change.attempt,
            next_retry_s=change.next_retry_seconds,
            error=error,
        )

    def _take_results(self) -> None:
        while True:
            try:
                result = self._results.get(0)
            except ChannelClosed:
                return
            if result is None:
                return
            source = result.job.scored.segment.source
            self._emit_all(source, self._stages[source].on_result(result))

    def _take_scored(self) -> bool:
        # A replay takes the next segment only when the large branch has answered: whether the
        # breaker lets a call through must not depend on how fast the answer before it came.
        while not (self._ordered and self._pending()):
            try:
                item = self._inbox.get(0)
            except ChannelClosed:
                return self._pending() == 0
            if item is None:
                return False
            self._on_scored(item)
        return False

    def _on_scored(self, item: Scored) -> None:
        if isinstance(item, Ended):
            stage = self._stages[item.source]
            if not stage.pending:
                self._emit_all(item.source, stage.finish(self.close_reason))
        elif isinstance(item, Progress):
            self._emit_all(item.source, self._stages[item.source].on_progress(item))
            self._change(item.source, domain=item.domain)
        else:
            source = item.segment.source
            self._emit_all(source, self._stages[source].on_scored(item))

    def _pending(self) -> int:
        return sum(stage.pending for stage in self._stages.values())

    def _timers(self) -> None:
        for name in self._stages:
            stats = self._stats(name)
            self.latest_stats[name] = msgspec.to_builtins(stats)
            self._emit(name, stats)
            self._bus.heartbeat(name)

    def _refresh_status(self, source: str) -> None:
        refinement = self._refinement
        state = refinement.breaker.state
        self._change(
            source,
            refiner="absent" if refinement.queue is None or refinement.failed else state,
            mode=refinement.mode,
            degraded=refinement.degraded,
            **self._stuck(source),
        )

    def _stuck(self, source: str) -> dict[str, ErrorInfo | None]:
        error = self._status[source].error
        if self.trouble is not None:
            return {"error": ErrorInfo(code=STAGE_STUCK, message=self.trouble)}
        return {"error": None} if error is not None and error.code == STAGE_STUCK else {}

    def _change(self, source: str, **fields: object) -> None:
        before = self._status[source]
        after = msgspec.structs.replace(before, **fields)
        if after != before:
            self._status[source] = after
            self._emit(source, after)

    def _emit_all(self, source: str, events: list[Data]) -> None:
        for event in events:
            self._emit(source, event)

    def _emit(self, source: str, data: Data) -> None:
        if isinstance(data, AlertData):
            self.alerts[data.phase] += 1
        self._outlet.emit(source, data)
