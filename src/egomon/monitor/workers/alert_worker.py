"""The emit thread: owns alert engines, store and sockets, and publishes every message."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence

import msgspec
import zmq

from egomon.branches.segment_scorer import Progress
from egomon.fusion.alert_engine import AlertEngine, LargeBranchAccess
from egomon.fusion.large_branch_queue import LargeBranchResult
from egomon.fusion.media.attach import EvidenceAttacher
from egomon.fusion.messages.types import (
    AlertData,
    Data,
    ErrorInfo,
    Reason,
    StatsData,
    StatusData,
)
from egomon.fusion.transport.server import EventServer
from egomon.monitor.messages import InOrder, Scored, SourceEnded, SourceNotice
from egomon.monitor.operations.fault_codes import OWN_CODES, STAGE_STUCK
from egomon.monitor.workers.gap_sum import GapSum
from egomon.monitor.workers.source_timeout import SourceTimeout
from egomon.stream.channel import Channel, ChannelClosed, WakeUp
from egomon.stream.source import StateChange
from egomon.stream.worker import Worker

# A message or a timer wakes the thread at once; this is for the watchdog's beat.
POLL_MS = 250
TIMER_SECONDS = 1.0


class AlertWorker:
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
        engines: Mapping[str, AlertEngine],
        refinement: LargeBranchAccess,
        publisher: EvidenceAttacher,
        bus: EventServer,
        *,
        inbox: Channel[Scored],
        results: Channel[LargeBranchResult],
        notices: Channel[SourceNotice],
        wake: WakeUp,
        stats: Callable[[str], StatsData],
        ordered: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engines = engines
        self._refinement = refinement
        self._publisher = publisher
        self._bus = bus
        self._inbox = inbox
        self._results = results
        self._notices = notices
        self._wake = wake
        self._stats = stats
        self._ordered = ordered
        self._clock = clock
        self._status = {name: StatusData(source_state="connecting") for name in engines}
        self._absence = SourceTimeout(clock)
        self._next_timer = clock()
        self.alerts: Counter[str] = Counter()
        self.latest_stats: dict[str, object] = {}
        """Last statistics by source, for requests."""
        self.close_reason: Reason = "source_ended"
        """Why alerts end when their source is over; `shutdown` after a signal."""
        self.faults: dict[str, str] = {}
        """Sentence by code, set by the main thread; shown in every source's status."""
        self._orders: deque[Callable[[], None]] = deque()
        self._gaps_waiting: dict[str, GapSum] = {}
        self._next_gaps: dict[str, float] = {}
        self._leaving: deque[tuple[str, Data]] = deque()

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

    def order(self, work: Callable[[], None]) -> None:
        """Run `work` in the emit thread, between two events; callable from any thread."""
        self._orders.append(work)
        self._wake.notify()

    def close(self, source: str, reason: Reason) -> None:
        """End the open alert, if any; call in the emit thread, see `order`."""
        self._emit_all(source, self._engines[source].lifecycle.close(reason))

    def run(self, worker: Worker) -> None:
        """Run until the inbox is closed and empty and no segment is pending."""
        poller = zmq.Poller()
        poller.register(self._wake.fileno(), zmq.POLLIN)
        for socket, flags in self._bus.sockets_to_poll:
            poller.register(socket, flags)
        done = False
        while not done:
            poller.poll(min(POLL_MS, max(1, round(1000 * (self._next_timer - self._clock())))))
            worker.beat()
            self._wake.clear()
            done = self.step()

    def step(self) -> bool:
        """Handle all queued events; True when the run is over."""
        self._flush()  # what a crash has left
        while self._orders:
            self._orders.popleft()()
        self._take_notices()
        self._take_results()
        over = self._take_scored()
        for source, update in self._publisher.ready():
            self._emit(source, update)
        self._bus.serve()
        for name, stage in self._engines.items():
            self._emit_all(name, stage.tick())
            if self._absence.is_long(name):
                self.close(name, "source_lost")
            self._refresh_status(name)
        if self._clock() >= self._next_timer:
            self._next_timer = self._clock() + TIMER_SECONDS
            self._timers()
        return over

    def finish(self) -> None:
        """Close every alert; called by the emit thread's owner after `run`, even after a crash."""
        self._take_notices()
        for name, stage in self._engines.items():
            self._emit_all(name, stage.finish(self._reason(name)))
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

    def _on_notice(self, notice: SourceNotice) -> None:
        event = notice.event
        if isinstance(event, StateChange):
            self._on_state(notice.source, event)
        elif self._ordered or self._clock() >= self._next_gaps.get(notice.source, 0.0):
            self._tell_gaps(notice.source, event)
        else:
            self._gaps_waiting[notice.source] = event

    def _tell_gaps(self, source: str, gaps: GapSum) -> None:
        """One message a second and cause, however often a fault comes again."""
        self._next_gaps[source] = self._clock() + TIMER_SECONDS
        self._emit_all(source, gaps.take())

    def _tell_waiting_gaps(self) -> None:
        waiting, self._gaps_waiting = self._gaps_waiting, {}
        for source, gaps in waiting.items():
            self._tell_gaps(source, gaps)

    def _on_state(self, source: str, change: StateChange) -> None:
        if change.state == "ended":
            return  # reported once everything before it is scored
        self._absence.on_state(source, change.state)
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

    def _reason(self, source: str) -> Reason:
        """Return the reason with which an open alert ends when its source ends."""
        return "source_lost" if self.source_state(source) == "offline" else self.close_reason

    def _take_results(self) -> None:
        while True:
            try:
                result = self._results.get(0)
            except ChannelClosed:
                return
            if result is None:
                return
            source = result.job.scored.segment.source
            self._emit_all(source, self._engines[source].on_result(result))

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
        if isinstance(item, InOrder):
            item.work()
        elif isinstance(item, SourceEnded):
            stage = self._engines[item.source]
            if not stage.pending:
                self._emit_all(item.source, stage.finish(self._reason(item.source)))
        elif isinstance(item, Progress):
            self._emit_all(item.source, self._engines[item.source].on_progress(item))
            self._change(item.source, domain=item.domain)
        else:
            source = item.segment.source
            self._emit_all(source, self._engines[source].on_scored(item))

    def _pending(self) -> int:
        return sum(stage.pending for stage in self._engines.values())

    def _timers(self) -> None:
        self._tell_waiting_gaps()
        self._publisher.retry()
        for name in self._engines:
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
            **self._own_error(source),
        )

    def _own_error(self, source: str) -> dict[str, ErrorInfo | None]:
        """Return the `error` field if a fault of the monitor itself sets or clears it."""
        error = self._status[source].error
        found = {**self._publisher.faults(), **self.faults}
        own = next((ErrorInfo(code=c, message=found[c]) for c in OWN_CODES if c in found), None)
        if error is not None and error.code not in OWN_CODES:
            return {"error": own} if own is not None and own.code == STAGE_STUCK else {}
        return {"error": own}

    def _change(self, source: str, **fields: object) -> None:
        before = self._status[source]
        after = msgspec.structs.replace(before, **fields)
        if after != before:
            self._status[source] = after
            self._emit(source, after)

    def _emit_all(self, source: str, events: Sequence[Data]) -> None:
        self._leaving.extend((source, event) for event in events)
        self._flush()

    def _emit(self, source: str, data: Data) -> None:
        self._emit_all(source, [data])

    def _flush(self) -> None:
        """Send all queued events, even if one fails, so that no `end` of an alert is lost."""
        first: Exception | None = None
        while self._leaving:
            source, data = self._leaving.popleft()
            if isinstance(data, AlertData):
                self.alerts[data.phase] += 1
            try:
                self._publisher.emit(source, data)
            except Exception as error:
                first = first or error
        if first is not None:
            raise first
