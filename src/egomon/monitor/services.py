"""Services of a run beside its threads: sockets, evidence, metrics."""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from egomon import endpoints
from egomon.config import Settings
from egomon.config_sections import EvidenceSettings
from egomon.errors import StoreError
from egomon.fusion.alert_engine import AlertEngine
from egomon.fusion.event_publisher import EventListener, EventPublisher
from egomon.fusion.media.attach import EvidenceAttacher
from egomon.fusion.media.images import write_clip
from egomon.fusion.sinks.sink import Mute, SeenAlerts, SinkContext
from egomon.fusion.sinks.sinks import Sinks
from egomon.fusion.store.events import EventStore
from egomon.fusion.transport.keys import CurveConfig
from egomon.fusion.transport.server import EventServer
from egomon.monitor.operations.restarts import Restarts
from egomon.monitor.operations.watchdog import Watchdog
from egomon.monitor.storage import retention, store_path
from egomon.monitor.workers.source_worker import SourceWorker
from egomon.stream.channel import WakeUp

if TYPE_CHECKING:
    from egomon.fusion.media.clip_writer import ClipBounds, ClipWriter
    from egomon.fusion.media.describe import Describer
    from egomon.fusion.media.face_blur import FaceBlur
    from egomon.monitor.operations.health import OperationsServer

logger = logging.getLogger(__name__)

SERVE_SECONDS = 0.05
"""Between two looks for a subscriber."""


def open_bus(settings: Settings, boot: str) -> EventServer:
    """Open the sockets of a run.

    Raises:
        AddressInUseError: an endpoint belongs to another program.
        ConfigError: an endpoint is wrong, or open to the network without keys.
    """
    bus = settings.bus
    return EventServer(
        publish=bus.publish,
        control=endpoints.monitor_control(bus.publish, bus.control),
        host=socket.gethostname(),
        boot=boot,
        curve=None if bus.curve is None else CurveConfig.server(bus.curve),
        insecure_bind=bus.insecure_bind,
    )


def wait_for_subscriber(
    bus: EventServer,
    seconds: float,
    stop: threading.Event,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Wait until somebody has subscribed, so that a reader misses nothing of what comes.

    Args:
        bus: the sockets of the run.
        seconds: longest wait; then the run goes on, and the log says so.
        stop: ends the wait.
        clock: monotonic seconds.
    """
    end = clock() + seconds
    while not bus.subscriptions and not stop.wait(SERVE_SECONDS):
        if clock() >= end:
            logger.warning("nobody has subscribed within %g s; the run goes on", seconds)
            return
        bus.serve()


class Services:
    """Evidence and metrics of a run; a context manager that starts and ends their threads.

    Raises:
        ConfigError: the evidence folder cannot be made, the face detector cannot be loaded, or the
            metrics address cannot be used.
        AddressInUseError: another program has the metrics address.
        UsageError: a sink is not known, or its plug-in cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        store: EventStore,
        bus: EventServer,
        inputs: Sequence[SourceWorker],
        watchdog: Watchdog,
        restarts: Restarts,
        *,
        wake: WakeUp,
        live: bool,
    ) -> None:
        evidence = settings.evidence
        self._snapshot = evidence.snapshot
        self._live = live
        # Imported where they are asked for: each costs the start of every run a millisecond or two.
        self.blur: FaceBlur | None = None
        if evidence.blur_faces is not None:
            from egomon.fusion.media.face_blur import FaceBlur
            from egomon.fusion.media.yunet import YuNet

            self.blur = FaceBlur(YuNet(evidence.blur_faces))
        self.writer: ClipWriter | None = None
        if evidence.folder is not None:
            from egomon.fusion.media.clip_writer import ClipWriter

            self.writer = ClipWriter(
                clip_rules(evidence, evidence.folder),
                store,
                wake=wake,
                write=write_clip if self.blur is None else self.blur.write_clip,
            )
        self.describer: Describer | None = None
        if evidence.describe is not None and not live:
            logger.warning(
                "nobody is asked to describe a recording: its alerts depend on nothing else"
            )
        elif evidence.describe is not None:
            from egomon.fusion.media.describe import Describer

            self.describer = Describer(
                evidence.describe, model=evidence.describe_model, wake=wake, blur=self.blur
            )
        self.mute, self.seen = Mute(), SeenAlerts(partial(is_acknowledged, store))
        names = tuple(item.name for item in inputs)
        self.sinks = Sinks(
            settings.sinks.uris,
            SinkContext(
                sources=names,
                boot=bus.boot,
                bundle=settings.model.name,
                site=settings.sinks.site or host_site(),
                mute=self.mute,
                seen=self.seen,
            ),
            wait=not live,
            store=store_path(settings, live=live),
        )
        self._store, self._bus, self._inputs = store, bus, inputs
        self._restarts = restarts
        self.health: OperationsServer | None = None
        self.listeners: tuple[EventListener, ...] = ()
        if settings.metrics.address is not None:
            # Web server and metrics take longer to import than a bundle to load.
            from egomon.monitor.operations.health import OperationsServer
            from egomon.monitor.operations.prometheus import MonitorMetrics

            metrics = MonitorMetrics(probe=self._probe)
            self.listeners = (metrics.on_event,)
            self.health = OperationsServer(
                settings.metrics.address,
                metrics,
                unhealthy=lambda: watchdog.trouble,
                insecure_bind=settings.bus.insecure_bind,
                allow_degraded=settings.metrics.allow_degraded,
            )

    def use(self, settings: Settings) -> None:
        """Apply other bounds of store and clips; callable from any thread."""
        self._store.retention = retention(settings)
        if self.writer is not None:
            self.writer.rules = clip_rules(settings.evidence, self.writer.rules.folder)
        if self.health is not None:
            self.health.allow_degraded = settings.metrics.allow_degraded

    def attacher(self, publisher: EventPublisher) -> EvidenceAttacher:
        """Build the attacher that publishes for the emit thread."""
        return EvidenceAttacher(
            publisher,
            snapshot=self._snapshot,
            blur=self.blur,
            writer=self.writer,
            describer=self.describer,
            announce=self._live,
        )

    def __enter__(self) -> Self:
        if self.writer is not None:
            self.writer.worker.start()
        if self.describer is not None:
            self.describer.worker.start()
        if self.health is not None:
            self.health.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self.writer is not None:
            self.writer.close()
        if self.describer is not None:
            self.describer.close()
        if self.health is not None:
            self.health.__exit__()

    def _probe(self) -> dict[str, float]:
        """Return gauges that no event carries, by metric name."""
        writer = self.writer
        return {
            "bus_send_dropped_total": self._bus.send_failed,
            "auth_failures_total": self._bus.auth_failures,
            "peers_cut_total": self._bus.bounds.cut,
            "worker_restarts_total": self._restarts.counts.total(),
            "store_waiting_events": self._store.waiting,
            "store_lost_events_total": self._store.lost,
            "queue_oldest_age_seconds": max(i.buffer.oldest_unread_seconds for i in self._inputs),
            "sink_lost_messages_total": self.sinks.lost,
            "clips_written_total": 0 if writer is None else writer.written,
            "clips_failed_total": 0 if writer is None else writer.failed + writer.dropped,
            "blur_failed_total": 0 if self.blur is None else self.blur.failed,
        }


def is_acknowledged(store: EventStore, alert_id: str) -> bool:
    """Whether anybody has acknowledged or judged an alert; False where the store cannot tell."""
    try:
        row = store.alert(alert_id)
    except StoreError:
        return False
    return row is not None and (row.acked_by, row.verdict) != (None, None)


def host_site() -> str:
    """The host's name, as a level of a topic."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64] or "site"


def clip_rules(evidence: EvidenceSettings, folder: Path) -> ClipBounds:
    """Convert settings to bounds of the clip writer."""
    from egomon.fusion.media.clip_writer import ClipBounds

    return ClipBounds(
        folder=folder,
        before_seconds=evidence.before_seconds,
        after_seconds=evidence.after_seconds,
        max_bytes=evidence.max_mb << 20,
        keep_days=evidence.keep_days,
    )


def add_sources(
    attacher: EvidenceAttacher, engines: Mapping[str, AlertEngine], inputs: Sequence[SourceWorker]
) -> None:
    """Register every source with the attacher."""
    for item in inputs:
        stage, size = engines[item.name], lambda item=item: item.size
        attacher.add_source(stage, item.name, item.buffer, size, item.packets)
