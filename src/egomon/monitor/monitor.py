"""The monitor: opens the parts of a run, runs its threads, closes them in order."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal

from egomon.branches.load_bundle import Bundle
from egomon.config import Settings
from egomon.fusion.event_publisher import EventListener, EventPublisher
from egomon.fusion.media.attach import EvidenceAttacher
from egomon.fusion.transport.control_server import StoreControl
from egomon.fusion.transport.server import EventServer
from egomon.monitor.crash_recovery import close_orphans
from egomon.monitor.exchange import exchange_in
from egomon.monitor.loading import announced, wait_serving
from egomon.monitor.messages import LatencyModel, RunSummary
from egomon.monitor.operations.control import MonitorOperations
from egomon.monitor.operations.fault_codes import (
    CONFIG_REJECTED,
    MODEL_REJECTED,
    SINK_FAILED,
    STAGE_STUCK,
    WORKER_RESTARTED,
)
from egomon.monitor.operations.reload import Reloader
from egomon.monitor.operations.restarts import Restarts
from egomon.monitor.operations.watchdog import Watchdog
from egomon.monitor.pipeline import Pipeline, Queues, Workers
from egomon.monitor.run_plan import RunPlan
from egomon.monitor.services import Services, open_bus, wait_for_subscriber
from egomon.monitor.simulated_live import LiveSimulation, SimulatedClock
from egomon.monitor.source_request import SourceRequest
from egomon.monitor.statistics import summarise
from egomon.monitor.storage import open_event_store
from egomon.monitor.workers.model_loader import ModelLoader
from egomon.monitor.workers.request_worker import RequestWorker
from egomon.monitor.workers.source_worker import SourceWorker
from egomon.monitor.workers.threads import Threads
from egomon.stream.worker import Worker

# Short enough that Ctrl-C feels immediate.
TICK_SECONDS = 0.25
JOIN_SECONDS = 5.0
"""Longest time to drain after a stop."""

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
        latency_model: simulate live operation of one file, see `LiveSimulation`.
        boot: name of this run; random by default.
        subscriber_seconds: longest wait for a first subscriber before anything is read.
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
        subscriber_seconds: float = 0.0,
        reread: Callable[[], Settings] | None = None,
    ) -> None:
        self._settings = settings
        self._listeners = tuple(listeners)
        self._bundle = bundle
        self._models: ModelLoader | None = None
        self._duration_seconds, self._subscriber_seconds = duration_seconds, subscriber_seconds
        self._latency_model = latency_model
        self._simulated_clock = None if latency_model is None else SimulatedClock(range_seconds[0])
        self._stop = threading.Event()
        self._stopped_by: StoppedBy = "end"
        self._live = any(request.is_live for request in requests)
        self._queues = Queues()
        self.inputs = [
            SourceWorker(
                request,
                settings,
                self._queues.condition,
                self._queues.notices,
                speed=speed,
                range_seconds=range_seconds,
                stop=self._stop,
                simulated_clock=self._simulated_clock,
            )
            for request in requests
        ]
        self.boot = boot or secrets.token_hex(4)
        self._threads = Threads(self._live)
        self._restarts = Restarts(allowed=self._live)
        self._reload_wanted = threading.Event()
        self._reloader = Reloader(settings, reread or (lambda: settings), self._use)
        self._watchdog = Watchdog(self._moving, self._frames)
        self._services: Services | None = None
        self.operations = MonitorOperations(
            self.inputs, settings.model, stop=self.stop, exchange=self.exchange
        )
        """What clients and the page may ask for."""
        self.pipeline: Pipeline | None = None
        """The workers, once the models are loaded."""

    @property
    def watching(self) -> bool:
        """True once models are loaded and frames may raise alerts."""
        return self.pipeline is not None

    def stop(self, by: StoppedBy = "shutdown") -> None:
        """Ask for a graceful end: sources close, what is buffered is scored, alerts end."""
        if not self._stop.is_set():
            self._stopped_by = by
            if self.pipeline is not None:
                self.pipeline.alert_worker.close_reason = "shutdown"
            self._stop.set()
        for item in self.inputs:
            item.close()

    def request_reload(self) -> None:
        """Ask for the settings to be read again; safe in a signal handler."""
        self._reload_wanted.set()

    def run(self, on_tick: Callable[[], None] = lambda: None) -> RunSummary:
        """Monitor the sources; call `on_tick` in this thread four times a second.

        Raises:
            EgomonError: a source cannot be opened, the bundle cannot be loaded, ...
            WorkerCrashedError: a thread crashed; everything was closed in order.
        """
        settings = self._settings
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
                wake=self._queues.wake,
                live=self._live,
            ) as services,
            services.sinks,
        ):
            self._services = services
            self.operations.mute_with, self.operations.blur = services.mute, services.blur
            self.operations.seen = services.seen
            names = [item.name for item in self.inputs]
            store.begin(boot=self.boot, sources=names, started_wall_ns=time.time_ns())
            listeners = (*services.listeners, *self._listeners)
            publisher = EventPublisher(bus, store, sinks=services.sinks.put, listeners=listeners)
            attacher = services.attacher(publisher)
            control = StoreControl(
                store,
                bus.snapshot,
                reset_context=self.reset_context,
                stats=self._latest_stats,
                operations=self.operations if self._live else None,
            )
            close_orphans(store, publisher)
            try:
                with RequestWorker(bus, control):
                    return self._watch(attacher, bus, on_tick)
            finally:
                self._stop.set()
                for item in self.inputs:
                    item.close()
                if self._models is not None:
                    self._models.abandon()
                self._queues.wake.close()

    def reset_context(self, source: str) -> bool:
        """Begin a new workflow at this source; False where there is no such source yet."""
        return self.pipeline is not None and self.pipeline.reset_context(source)

    def exchange(self, bundle: Bundle) -> None:
        """Watch with another bundle while the sources go on; from any thread, see `exchange_in`."""
        exchange_in(self.pipeline if self._live else None, bundle, self._reloader.settings)

    def _watch(
        self,
        attacher: EvidenceAttacher,
        bus: EventServer,
        on_tick: Callable[[], None],
    ) -> RunSummary:
        if self._subscriber_seconds:
            wait_for_subscriber(bus, self._subscriber_seconds, self._stop)
        if self._simulated_clock is None:
            self._threads.start_producers(self.inputs, lambda: self.stop("crash"))
            self._threads.wait_for_files(self.inputs, self._stop)
        self._models = ModelLoader(self._settings, live=self._live, bundle=self._bundle)
        with announced(attacher, [item.name for item in self.inputs]):
            plan = wait_serving(self._models, bus, self._queues.wake)
            self._threads.raise_crash()
        self.pipeline = watch = self._build(plan, self._models, attacher, bus)
        if self._stop.is_set():  # asked for while the models were loading
            watch.alert_worker.close_reason = "shutdown"
        began = time.monotonic()
        try:
            if self._simulated_clock is None:
                watch.start()
                self._wait(watch, on_tick)
            else:
                self._simulate(watch, self._simulated_clock)
        finally:
            watch.shut_down(JOIN_SECONDS)
        self._threads.raise_crash()
        return summarise(
            self.inputs,
            watch.parts,
            wall_seconds=time.monotonic() - began,
            alerts=watch.alert_worker.alerts,
            stopped_by=self._stopped_by,
        )

    def _build(
        self, plan: RunPlan, models: ModelLoader, attacher: EvidenceAttacher, bus: EventServer
    ) -> Pipeline:
        return Pipeline(
            plan,
            models,
            self._settings,
            self.inputs,
            self._queues,
            Workers(self._threads, self._restarts, lambda: self.stop("crash")),
            attacher,
            bus,
            boot=self.boot,
            live=self._live,
            simulated_clock=self._simulated_clock,
        )

    def _simulate(self, watch: Pipeline, clock: SimulatedClock) -> None:
        """Simulate a live run in this thread, which opens and reads the source."""
        assert self._latency_model is not None
        (item,) = self.inputs
        LiveSimulation(watch, item, self._queues, clock, self._latency_model).run()

    def _wait(self, watch: Pipeline, on_tick: Callable[[], None]) -> None:
        limit = self._duration_seconds
        while not (watch.over or self._threads.fatal or self._stop.is_set()):
            if limit is not None and watch.elapsed_seconds >= limit:
                self.stop("duration")
                return
            watch.wait(TICK_SECONDS)
            if self._reload_wanted.is_set():
                self._reload_wanted.clear()
                self._reloader.reload()
            self.operations.work()
            self._watchdog.check()
            watch.show(self._faults())
            on_tick()

    def _faults(self) -> dict[str, str | None]:
        assert self._services is not None
        return {
            STAGE_STUCK: self._watchdog.trouble,
            WORKER_RESTARTED: self._restarts.fault(),
            CONFIG_REJECTED: self._reloader.fault,
            MODEL_REJECTED: self.operations.fault,
            SINK_FAILED: self._services.sinks.fault,
        }

    def _use(self, settings: Settings) -> None:
        """Apply settings that were read again."""
        assert self.pipeline is not None
        assert self._services is not None
        self.pipeline.use(settings)
        self._services.use(settings)

    def _moving(self) -> list[Worker]:
        return [] if self.pipeline is None else self.pipeline.moving()

    def _frames(self) -> int:
        return sum(item.frame_counts()["decoded"] for item in self.inputs)

    def _latest_stats(self) -> dict[str, object]:
        return {} if self.pipeline is None else dict(self.pipeline.alert_worker.latest_stats)
