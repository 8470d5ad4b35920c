"""The threads of a run once the models are loaded, and their crashes."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from egomon.branches.interfaces import LargeBranch, RemoteLargeBranch
from egomon.config import Settings
from egomon.fusion.large_branch_queue import LargeBranchResult, run_refiner
from egomon.fusion.media.attach import EvidenceAttacher
from egomon.fusion.messages.types import StatsData
from egomon.fusion.transport.server import EventServer
from egomon.monitor.build import AlertEngines, build_engines, build_scorer
from egomon.monitor.exchange import BundleExchange
from egomon.monitor.messages import Scored, SourceNotice
from egomon.monitor.operations.large_endpoint import await_server
from egomon.monitor.operations.restarts import Restarts
from egomon.monitor.run_plan import RunPlan, make_plan
from egomon.monitor.services import add_sources
from egomon.monitor.statistics import source_stats
from egomon.monitor.workers.alert_worker import AlertWorker
from egomon.monitor.workers.inference_worker import InferenceWorker, ScoredSource
from egomon.monitor.workers.model_loader import ModelLoader
from egomon.monitor.workers.source_worker import SourceWorker
from egomon.monitor.workers.threads import Threads
from egomon.stream.channel import Channel, WakeUp
from egomon.stream.worker import Worker

logger = logging.getLogger(__name__)

# Scores are small; a full inbox means that the emit thread stands, and scoring waits for it.
INBOX_CAPACITY = 64
# Notices come from threads of sources, which must not wait; the oldest is lost first.
NOTICES_CAPACITY = 4096


@dataclass(slots=True, eq=False)
class Queues:
    """Queues between the threads; made before the sources are opened."""

    condition: threading.Condition = field(default_factory=threading.Condition)
    """Shared by all buffers: notified by new frames and ended sources."""
    wake: WakeUp = field(default_factory=WakeUp)
    """Wakes the emit thread."""
    notices: Channel[SourceNotice] = field(init=False)
    """State changes and gaps, from the producers."""
    results: Channel[LargeBranchResult] = field(init=False)
    """Scores, from the large thread."""

    def __post_init__(self) -> None:
        self.notices = Channel(NOTICES_CAPACITY, on_full="drop_oldest", wake=self.wake)
        self.results = Channel(INBOX_CAPACITY, wake=self.wake)


@dataclass(frozen=True, slots=True)
class Workers:
    """Threads of a run, and the policy for crashes."""

    threads: Threads
    restarts: Restarts
    on_crash: Callable[[], None]
    """Ends the run."""


class Pipeline:
    """Scores segments and publishes alerts until the sources end; built from a plan.

    Args:
        plan: what to do.
        models: gives the large branch.
        settings: everything else.
        inputs: the sources, whose producers run.
        queues: between the threads.
        workers: its producers run; the other workers are added here.
        boot: name of this run.
        live: deadlines, restarts and drops; False waits for everything.
        simulated_clock: deadlines and drops of a recording, in one thread; None = real time.
    """

    def __init__(
        self,
        plan: RunPlan,
        models: ModelLoader,
        settings: Settings,
        inputs: Sequence[SourceWorker],
        queues: Queues,
        workers: Workers,
        attacher: EvidenceAttacher,
        bus: EventServer,
        *,
        boot: str,
        live: bool,
        simulated_clock: Callable[[], float] | None = None,
    ) -> None:
        self._models, self._inputs, self._queues, self._live = models, inputs, queues, live
        self._workers, self._threads = workers, workers.threads
        self._clock = simulated_clock or time.monotonic
        self._started, self._over = self._clock(), False
        self.parts: AlertEngines = build_engines(
            plan, inputs, settings, boot=boot, live=live, clock=simulated_clock
        )
        add_sources(attacher, self.parts.engines, inputs)
        # In one thread nobody makes room while a batch is scored.
        capacity = INBOX_CAPACITY if simulated_clock is None else sys.maxsize
        inbox: Channel[Scored] = Channel(capacity, wake=queues.wake)
        self.cameras = [_camera(item, plan, settings) for item in inputs]
        encoder = plan.bundle.encoder
        assert encoder is not None
        self.scoring = InferenceWorker(
            encoder,
            self.cameras,
            inbox,
            queues.condition,
            clock=simulated_clock or time.perf_counter,
        )
        self.alert_worker = AlertWorker(
            self.parts.engines,
            self.parts.refinement,
            attacher,
            bus,
            inbox=inbox,
            results=queues.results,
            notices=queues.notices,
            wake=queues.wake,
            stats=self._stats,
            ordered=not live and simulated_clock is None,
            clock=self._clock,
        )
        self.exchange = BundleExchange(
            self.parts, self.scoring, self.alert_worker, inputs, attacher, boot=boot
        )

    @property
    def elapsed_seconds(self) -> float:
        """Seconds since `start`."""
        return self._clock() - self._started

    @property
    def over(self) -> bool:
        """True once the emit thread has ended."""
        emit = self._threads.emit
        return emit is not None and not emit.alive

    def start(self) -> None:
        """Start the threads, from the last one to the first."""
        threads, may_restart = self._threads, self._workers.restarts.may_restart
        threads.emit = Worker(
            "emit",
            self.alert_worker.run,
            on_crash=lambda _: self._workers.on_crash(),
            may_restart=may_restart,
            order="first" if threads.live else "usual",
        )
        threads.emit.start()
        if self.parts.refinement.queue is not None:
            threads.large = Worker(
                "large",
                self._run_large,
                on_crash=self._on_large_crash,
                # Segments are to be scored at once, refinements by their deadline.
                order="last" if threads.live else "usual",
            )
            threads.large.start()
        threads.small = Worker(
            "small", self.scoring.run, on_crash=self._on_small_crash, may_restart=may_restart
        )
        threads.small.start()
        self._started = self._clock()
        for item in self._inputs:
            item.ready.set()

    def wait(self, seconds: float) -> None:
        """Wait until the run is over, for at most `seconds`."""
        assert self._threads.emit is not None
        self._threads.emit.join(seconds)

    def show(self, faults: Mapping[str, str | None]) -> None:
        """Publish these faults of the monitor, sentence by code, in every source's status."""
        self.alert_worker.faults = {code: told for code, told in faults.items() if told is not None}

    def use(self, settings: Settings) -> None:
        """Apply settings; the emit thread changes its own part.

        Raises:
            ConfigError: they do not fit the bundle.
        """
        plan = make_plan(self.parts.plan.bundle, settings)
        for item in self._inputs:
            if item.is_live:
                item.buffer.staleness_seconds = settings.source.staleness_seconds
        self.alert_worker.order(lambda: self.parts.use(plan, settings, timed=self._live))

    def reset_context(self, source: str) -> bool:
        """Begin a new workflow at this source; False where there is no such source."""
        if source not in self.parts.engines:
            return False
        self.scoring.request_reset(source)
        self.alert_worker.order(lambda: self.alert_worker.close(source, "context_reset"))
        return True

    def shut_down(self, seconds: float) -> None:
        """Drain for at most `seconds`, end every thread, close every alert."""
        for item in self._inputs:
            item.close()
        self._threads.join(seconds)
        self._over = True
        if self.parts.refinement.queue is not None:
            self.parts.refinement.queue.close()
        if self._threads.large is not None:
            self._threads.large.join(0.5)
        self._threads.abandon()
        emit = self._threads.emit
        if emit is None or not emit.alive:
            # The emit thread has ended: its state and sockets are ours now. Every alert that is
            # still open is closed here, also after a crash.
            try:
                self.alert_worker.finish()
            except Exception:  # what ended the emit thread goes on; that one is told
                if emit is None or emit.crash is None:
                    raise
                logger.debug("closing failed too", exc_info=True)

    def moving(self) -> list[Worker]:
        """List the live threads that the watchdog checks; a replay may wait for a model."""
        if not self._live:
            return []
        threads = self._threads
        online = [
            worker
            for item, worker in zip(self._inputs, threads.producers, strict=False)
            if item.is_live and self.alert_worker.source_state(item.name) == "online"
        ]
        return [*online, *(w for w in (threads.small, threads.emit) if w is not None)]

    def load_large(self) -> LargeBranch:
        """The large branch of a plan that uses one; a replay needs its server to be there.

        Raises:
            BundleError: it cannot be loaded, or its server is away or serves another model.
        """
        branch = self._models.large()
        if isinstance(branch, RemoteLargeBranch):
            if self._live:
                await_server(branch, self.parts.refinement)
            else:
                branch.connect()
        return branch

    def _run_large(self, worker: Worker) -> None:
        queue = self.parts.refinement.queue
        assert queue is not None
        run_refiner(self.load_large, queue, self._queues.results)

    def _on_small_crash(self, worker: Worker) -> None:
        self.scoring.close()
        self._workers.on_crash()

    def _on_large_crash(self, worker: Worker) -> None:
        if self._over:  # a model that was still loading; nobody waits for it any more
            logger.debug("the large branch failed after the end: %s", worker.crash)
            return
        self.parts.refinement.failed = str(worker.crash)
        if self._live:
            logger.error("the large branch is not available: %s", worker.crash)
        else:  # the run ends with this error, which tells it
            self._workers.on_crash()

    def _stats(self, source: str) -> StatsData:
        return source_stats(
            next(item for item in self._inputs if item.name == source),
            self.parts,
            elapsed_seconds=self.elapsed_seconds,
            encode_ms=self.scoring.encode_ms,
            alerts=self.alert_worker.alerts,
        )


def _camera(item: SourceWorker, plan: RunPlan, settings: Settings) -> ScoredSource:
    item.prepare_with(plan)
    scorer = build_scorer(plan, item, item.buffer, settings)
    return ScoredSource(scorer, item.buffer, in_whole_batches=not item.drops, on_gap=item.on_gap)
