"""The monitor: starts and stops the threads in order, and gives a summary."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

from egomon.branches.base import LargeBranch
from egomon.branches.bundle import Bundle, load_bundle
from egomon.branches.torch_setup import configure_torch
from egomon.config import Settings
from egomon.fusion.bus import AlertBus
from egomon.fusion.control import StoreControl
from egomon.fusion.evidence_desk import EvidenceDesk
from egomon.fusion.outlet import EventListener, Outlet
from egomon.fusion.refine import RefineResult, run_refiner
from egomon.fusion.wire import StatsData
from egomon.monitor.aslive import simulate
from egomon.monitor.emitter import CONFIG_REJECTED, STAGE_STUCK, WORKER_RESTARTED, Emitter
from egomon.monitor.figures import source_stats, summarise
from egomon.monitor.inputs import Input, SourceRequest
from egomon.monitor.loading import announced, load_answering, warm_up
from egomon.monitor.messages import LatencyModel, Notice, Scored, Summary
from egomon.monitor.orphans import close_orphans
from egomon.monitor.parts import Parts, build_lane, build_parts
from egomon.monitor.plan import Plan, make_plan
from egomon.monitor.reload import Reloader
from egomon.monitor.restarts import Restarts
from egomon.monitor.scoring import Camera, ScoringLoop
from egomon.monitor.services import Services, open_bus, watch_all
from egomon.monitor.storage import open_event_store
from egomon.monitor.threads import Threads
from egomon.monitor.watchdog import Watchdog
from egomon.stream.channel import Channel, Wake
from egomon.stream.worker import Worker

logger = logging.getLogger(__name__)

INBOX_CAPACITY = 64
NOTICES_CAPACITY = 4096
TICK_SECONDS = 0.25
JOIN_SECONDS = 5.0
"""Longest time to drain after a stop."""
FILE_OPEN_SECONDS = 10.0

StoppedBy = Literal["end", "shutdown", "duration", "crash"]


class Monitor:
    """Watches one or more sources until they end, a stop is requested, or a worker crashes.

    Args:
        requests: the sources; names must differ.
        settings: everything else.
        listeners: called in the emit thread with each event.
        bundle: a loaded bundle; None loads `settings.model.name`.
        speed: files: 0 = as fast as possible, 1 = real time.
        range_seconds: files: half-open piece to read.
        duration_seconds: stop after this much wall time.
        latency_model: simulate live operation of one file, see `monitor.aslive`.
        boot: name of this run; random by default.
        reread: reads the settings anew, for `request_reload`; None = there is nothing to read.
    """

    def __init__(
        self,
        requests: Sequence[SourceRequest],
        settings: Settings,
        *,
        listeners: Sequence[EventListener] = (),
        bundle: Bundle | None = None,
        speed: float = 0.0,
        range_seconds: tuple[float, float | None] = (0.0, None),
        duration_seconds: float | None = None,
        latency_model: LatencyModel | None = None,
        boot: str | None = None,
        reread: Callable[[], Settings] | None = None,
    ) -> None:
        self._settings = settings
        self._listeners = tuple(listeners)
        self._bundle = bundle
        self._duration_seconds = duration_seconds
        self._latency_model = latency_model
        self._stop = threading.Event()
        self._stopped_by: StoppedBy = "end"
        self._live = any(request.is_live for request in requests)
        self._condition = threading.Condition()
        self._wake = Wake()
        self._notices: Channel[Notice] = Channel(
            NOTICES_CAPACITY, on_full="drop_oldest", wake=self._wake
        )
        self._results: Channel[RefineResult] = Channel(INBOX_CAPACITY, wake=self._wake)
        self.inputs = [
            Input(
                request,
                settings,
                self._condition,
                self._notices,
                speed=speed,
                range_seconds=range_seconds,
                stop=self._stop,
            )
            for request in requests
        ]
        self.boot = boot or secrets.token_hex(4)
        self._threads = Threads(self._live)
        self._restarts = Restarts(allowed=self._live)
        self._reload_wanted = threading.Event()
        self._reloader = Reloader(settings, reread or (lambda: settings), self._use)
        self._watchdog = Watchdog(self._moving, self._frames)
        self._started = time.monotonic()
        self._parts: Parts | None = None
        self._scoring: ScoringLoop | None = None
        self._emitter: Emitter | None = None
        self._services: Services | None = None

    @property
    def watching(self) -> bool:
        """True once models are loaded and frames may raise alerts."""
        return self._emitter is not None

    def stop(self, by: StoppedBy = "shutdown") -> None:
        """Ask for a graceful end: sources close, what is buffered is scored, alerts end."""
        if not self._stop.is_set():
            self._stopped_by = by
            if self._emitter is not None:
                self._emitter.close_reason = "shutdown"
            self._stop.set()
        for item in self.inputs:
            item.close()

    def request_reload(self) -> None:
        """Ask for the settings to be read again; safe in a signal handler."""
        self._reload_wanted.set()

    def run(self, on_tick: Callable[[], None] = lambda: None) -> Summary:
        """Watch; calls `on_tick` in this thread four times a second.

        Raises:
            EgomonError: a source cannot be opened, the bundle cannot be loaded, ...
            WorkerCrashedError: a thread crashed; everything was closed in order.
        """
        settings = self._settings
        configure_torch(settings.model.threads, live=self._live)
        with (
            open_event_store(settings, live=self._live) as store,
            open_bus(settings, self.boot) as bus,
            Services(
                settings,
                store,
                bus,
                self.inputs,
                self._watchdog,
                self._restarts,
                wake=self._wake,
                live=self._live,
            ) as services,
        ):
            self._services = services
            names = [item.name for item in self.inputs]
            store.begin(boot=self.boot, sources=names, started_wall_ns=time.time_ns())
            outlet = Outlet(bus, store, listeners=(*services.listeners, *self._listeners))
            desk = services.desk(outlet)
            control = StoreControl(
                store, bus.snapshot, reset_context=self.reset_context, stats=self._latest_stats
            )
            close_orphans(store, outlet)
            try:
                if self._latency_model is not None:
                    return self._simulate(desk, self._latency_model)
                return self._watch(desk, bus, control, on_tick)
            finally:
                self._stop.set()
                for item in self.inputs:
                    item.close()
                self._wake.close()

    def _watch(
        self,
        desk: EvidenceDesk,
        bus: AlertBus,
        control: StoreControl,
        on_tick: Callable[[], None],
    ) -> Summary:
        self._start_producers()
        self._wait_for_files()
        with announced(desk, [item.name for item in self.inputs]):
            plan = load_answering(self._load, bus, control, self._wake)
        parts = build_parts(plan, self.inputs, self._settings, boot=self.boot, live=self._live)
        self._parts = parts
        watch_all(desk, parts.stages, self.inputs)
        self._build(parts, desk, bus, control)
        try:
            self._start(parts)
            self._wait(on_tick)
        finally:
            self._shut_down(parts)
        self._threads.raise_crash()
        return self._summary(parts)

    def _simulate(self, desk: EvidenceDesk, model: LatencyModel) -> Summary:
        """One thread, simulated time: the source is opened and read here."""
        (item,) = self.inputs
        plan = self._load()
        alerts: Counter[str] = Counter()
        parts = simulate(item, plan, self._settings, desk, model, alerts)
        return summarise(
            self.inputs, parts, wall_seconds=self._elapsed(), alerts=alerts, stopped_by="end"
        )

    def _start_producers(self) -> None:
        for item in self.inputs:
            worker = Worker(f"producer-{item.name}", item.run, on_crash=self._on_crash)
            self._threads.producers.append(worker)
            worker.start()

    def _wait_for_files(self) -> None:
        """Fail at once on a missing file, before the models are loaded."""
        deadline = time.monotonic() + FILE_OPEN_SECONDS
        for item in self.inputs:
            while not item.is_live and time.monotonic() < deadline and not self._stop.is_set():
                if item.opened.wait(TICK_SECONDS):
                    break
        self._threads.raise_crash()

    def _load(self) -> Plan:
        model = self._settings.model
        bundle = self._bundle or load_bundle(model.name, device=model.device, dtype=model.dtype)
        self._threads.raise_crash()
        plan = make_plan(bundle, self._settings)
        if self._live:
            warm_up(bundle)
        return plan

    def _build(
        self, parts: Parts, desk: EvidenceDesk, bus: AlertBus, control: StoreControl
    ) -> None:
        inbox: Channel[Scored] = Channel(INBOX_CAPACITY, wake=self._wake)
        cameras = []
        for item in self.inputs:
            item.prepare_with(parts.plan)
            lane = build_lane(parts.plan, item, item.buffer, self._settings)
            cameras.append(
                Camera(lane, item.buffer, in_whole_batches=not item.is_live, on_gap=item.on_gap)
            )
        encoder = parts.plan.bundle.encoder
        assert encoder is not None
        self._scoring = ScoringLoop(encoder, cameras, inbox, self._condition)
        self._emitter = Emitter(
            parts.stages,
            parts.refinement,
            desk,
            bus,
            control,
            inbox=inbox,
            results=self._results,
            notices=self._notices,
            wake=self._wake,
            stats=self._stats,
            ordered=not self._live,
        )

    def _start(self, parts: Parts) -> None:
        assert self._scoring is not None
        assert self._emitter is not None
        threads = self._threads
        threads.emit = Worker(
            "emit",
            self._emitter.run,
            on_crash=self._on_crash,
            may_restart=self._restarts.may_restart,
        )
        threads.emit.start()
        if parts.refinement.queue is not None:
            threads.large = Worker("large", self._run_large, on_crash=self._on_large_crash)
            threads.large.start()
        threads.small = Worker(
            "small",
            self._scoring.run,
            on_crash=self._on_small_crash,
            may_restart=self._restarts.may_restart,
        )
        threads.small.start()
        self._started = time.monotonic()
        for item in self.inputs:
            item.ready.set()

    def _run_large(self, worker: Worker) -> None:
        assert self._parts is not None
        parts, queue = self._parts, self._parts.refinement.queue
        assert queue is not None

        def load() -> LargeBranch:
            branch = parts.plan.bundle.load_large()
            assert branch is not None
            return branch

        run_refiner(load, queue, self._results)

    def _wait(self, on_tick: Callable[[], None]) -> None:
        emit, emitter = self._threads.emit, self._emitter
        assert emit is not None
        assert emitter is not None
        while emit.alive and self._threads.fatal is None and not self._stop.is_set():
            if self._duration_seconds is not None and self._elapsed() >= self._duration_seconds:
                self.stop("duration")
                return
            emit.join(TICK_SECONDS)
            if self._reload_wanted.is_set():
                self._reload_wanted.clear()
                self._reloader.reload()
            self._watchdog.check()
            found = {
                STAGE_STUCK: self._watchdog.trouble,
                WORKER_RESTARTED: self._restarts.fault(),
                CONFIG_REJECTED: self._reloader.fault,
            }
            emitter.faults = {code: told for code, told in found.items() if told is not None}
            on_tick()

    def _use(self, settings: Settings) -> None:
        """Make settings effective that were read again; the emit thread changes its own part."""
        parts, emitter = self._parts, self._emitter
        assert parts is not None
        assert emitter is not None
        assert self._services is not None
        plan = make_plan(parts.plan.bundle, settings)
        self._services.use(settings)
        for item in self.inputs:
            if item.is_live:
                item.buffer.staleness_seconds = settings.source.staleness_seconds
        emitter.order(lambda: parts.use(plan, settings, timed=self._live))

    def _shut_down(self, parts: Parts) -> None:
        for item in self.inputs:
            item.close()
        self._threads.join(JOIN_SECONDS)
        if parts.refinement.queue is not None:
            parts.refinement.queue.close()
        if self._threads.large is not None:
            self._threads.large.join(0.5)
        emit = self._threads.emit
        if self._emitter is not None and (emit is None or not emit.alive):
            # The emit thread has ended: its state and sockets are ours now. Every alert that is
            # still open is closed here, also after a crash.
            try:
                self._emitter.finish()
            except Exception:  # what ended the emit thread goes on; that one is told
                if emit is None or emit.crash is None:
                    raise
                logger.debug("closing failed too", exc_info=True)

    def _on_crash(self, worker: Worker) -> None:
        self.stop("crash")

    def _on_small_crash(self, worker: Worker) -> None:
        assert self._scoring is not None
        self._scoring.close()
        self.stop("crash")

    def _on_large_crash(self, worker: Worker) -> None:
        assert self._parts is not None
        self._parts.refinement.failed = str(worker.crash)
        logger.error("the large branch is not available: %s", worker.crash)
        if not self._live:
            self.stop("crash")

    def _moving(self) -> list[Worker]:
        """Live stages that must give signs of life; a replay may wait for its large branch."""
        if not self._live or self._emitter is None:
            return []
        threads, emitter = self._threads, self._emitter
        online = [
            worker
            for item, worker in zip(self.inputs, threads.producers, strict=False)
            if item.is_live and emitter.source_state(item.name) == "online"
        ]
        return [*online, *(w for w in (threads.small, threads.emit) if w is not None)]

    def _frames(self) -> int:
        return sum(item.frame_counts()["decoded"] for item in self.inputs)

    def reset_context(self, source: str) -> bool:
        """Begin a new workflow at this source; False where there is no such source yet."""
        if self._scoring is None or self._parts is None or source not in self._parts.stages:
            return False
        self._scoring.request_reset(source)
        return True

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _latest_stats(self) -> dict[str, object]:
        return {} if self._emitter is None else self._emitter.latest_stats

    def _stats(self, source: str) -> StatsData:
        item = next(item for item in self.inputs if item.name == source)
        assert self._parts is not None
        assert self._emitter is not None
        return source_stats(
            item,
            self._parts,
            elapsed_seconds=self._elapsed(),
            encode_ms=0.0 if self._scoring is None else self._scoring.encode_ms,
            alerts=self._emitter.alerts,
        )

    def _summary(self, parts: Parts) -> Summary:
        assert self._emitter is not None
        return summarise(
            self.inputs,
            parts,
            wall_seconds=self._elapsed(),
            alerts=self._emitter.alerts,
            stopped_by=self._stopped_by,
        )
