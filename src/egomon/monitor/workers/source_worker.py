"""One source on its way in: opened, read and closed in its own thread."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from egomon.branches.bundle.card import Preprocessing
from egomon.config import Settings
from egomon.config_sections import EvidenceSettings
from egomon.monitor.messages import SourceNotice
from egomon.monitor.operations.watchdog import RestartBudget
from egomon.monitor.run_plan import RunPlan
from egomon.monitor.source_request import SourceRequest, source_options
from egomon.monitor.workers.gap_sum import GapSum
from egomon.stream.buffer import RollingBuffer
from egomon.stream.channel import Channel, ChannelClosed
from egomon.stream.frame import Grab
from egomon.stream.packet_ring import PacketRing
from egomon.stream.reader import FrameSink, FrameTap, Sampling, SourceReader
from egomon.stream.sampling_grid import SamplingGrid
from egomon.stream.source import Discontinuity, Source, SourceState, StateChange
from egomon.stream.source_options import OpenContext
from egomon.stream.sources.open import open_in
from egomon.stream.worker import Worker

BYTES_PER_MB = 1 << 20
WAIT_SECONDS = 0.2
RESTART_SECONDS = 0.5
"""Pause before a crashed source is opened again."""

logger = logging.getLogger(__name__)


class SourceWorker:
    """Listens to its source and passes on what happens; the buffer is its way out."""

    def __init__(
        self,
        request: SourceRequest,
        settings: Settings,
        condition: threading.Condition,
        notices: Channel[SourceNotice],
        *,
        speed: float,
        range_seconds: tuple[float, float | None],
        stop: threading.Event,
        simulated_clock: Callable[[], float] | None = None,
    ) -> None:
        self.name = request.name
        self.reference = request.reference
        self.is_live = request.is_live
        self.drops = request.is_live or simulated_clock is not None
        """Frames that nobody takes in time are dropped; a recording waits for its reader."""
        self._request = request
        self._opened = request.opened
        self.has_frames = False
        """A frame has come, used or not."""
        self._settings = settings
        self._notices = notices
        self._speed = speed
        self._range_seconds = range_seconds
        self._stop = stop
        self._close = threading.Event()
        self._source: Source | None = None
        self._producer: SourceReader | None = None
        self._plan: RunPlan | None = None
        self._dropped: Counter[str] = Counter()
        self._gaps = GapSum()
        self._state: SourceState = "connecting"
        self._restarts = RestartBudget()
        self._started: float | None = None
        self.opened = threading.Event()
        """The source is open."""
        self.ready = threading.Event()
        """Models are loaded: frames may be read."""
        self.duration_seconds: float | None = None
        self.tap: FrameTap | None = None
        """Sees full pictures while it is set; from any thread."""
        options = settings.source
        self.packets = ring_for(settings.evidence)
        """Packets of the source, for clips; empty if it has none."""
        self.buffer = RollingBuffer(
            seconds=options.buffer_seconds,
            max_bytes=options.buffer_mb * BYTES_PER_MB,
            on_full="drop_oldest" if self.drops else "wait",
            staleness_seconds=options.staleness_seconds if self.drops else None,
            on_gap=self.on_gap,
            condition=condition,
            clock=simulated_clock or time.monotonic,
        )

    @property
    def media_seconds(self) -> float:
        """Media time of the newest frame that was read."""
        return 0.0 if self._producer is None else self._producer.counts.t_seconds

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of the source's pictures, once it is open."""
        info = None if self._source is None else self._source.info
        return None if info is None else (info.width, info.height)

    @property
    def preprocessing(self) -> Preprocessing:
        """Preparation of the frame encoder's square picture, once the models are loaded."""
        plan = self._plan
        return Preprocessing() if plan is None else plan.bundle.card.frame_encoder.preprocessing

    def frame_counts(self) -> dict[str, int]:
        """decoded, sampled and `dropped_<cause>`."""
        counts = self._producer.counts if self._producer else None
        return {
            "decoded": counts.decoded if counts else 0,
            "sampled": counts.sampled if counts else 0,
            **{f"dropped_{cause}": n for cause, n in sorted(self._dropped.items())},
        }

    def prepare_with(self, plan: RunPlan) -> None:
        """Frames are resized for these models from now on; callable from any thread."""
        self._plan = plan
        if self._producer is not None:
            self._producer.resample(_sampling(plan))

    def run(self, worker: Worker) -> None:
        """Body of the producer's thread."""
        try:
            source = self.open()
            if not self._wait_until_ready(source, worker):
                return
            assert self._plan is not None
            producer = self.producer(self._plan, source, self.buffer)
            while not self._read_all(producer, worker):
                pass
        finally:
            self.opened.set()
            self.close()
            self.buffer.finish()

    def _read_all(self, producer: SourceReader, worker: Worker) -> bool:
        """Read to the end; False if a live source crashed and was opened anew."""
        try:
            producer.read_all(worker)
        except Exception as error:
            # A file never starts again: its result would depend on luck. Nor does a source of
            # the caller's own, which cannot be opened here, nor one that was given up (offline).
            may = self.is_live and self._request.source is None and producer.counts.decoded > 0
            if (
                not may
                or self._state == "offline"
                or self._stop.is_set()
                or not self._restarts.take()
            ):
                raise
            # As text: a log that keeps the error would keep its traceback, and so the old source.
            logger.warning("source %s crashed and is opened again: %s", self.name, str(error))
            if self._source is not None:
                self._source.close()
            last = self.media_seconds
            self._stop.wait(RESTART_SECONDS)
            if self._stop.is_set():
                return True
            producer.resume(self.open())
            self.on_gap(Discontinuity("reconnect", 0, from_seconds=last))
            return False
        return True

    def close(self) -> None:
        """Make a blocked read or opening return; from any thread."""
        self._close.set()
        if self._source is not None:
            self._source.close()
        self.ready.set()

    def on_state(self, change: StateChange) -> None:
        """See `SourceListener`."""
        self._state = change.state
        self._tell(change)

    def on_grab(self, grab: Grab) -> None:
        """A frame has come: the source is online, also one that never says so itself."""
        self.has_frames = True
        if self._state != "online":
            self.on_state(StateChange("online"))

    def on_gap(self, gap: Discontinuity) -> None:
        """See `SourceListener`."""
        self._dropped[gap.cause] += gap.count
        if self._gaps.add(gap):
            self._tell(self._gaps)

    def _tell(self, event: StateChange | GapSum) -> None:
        try:
            self._notices.put(SourceNotice(self.name, event))
        except ChannelClosed:
            return  # the run is over, nobody listens any more

    def open(self) -> Source:
        """Open the source, in the thread that will read it."""
        self._state = "connecting"
        self._source = self._request.source or self._open_reference()
        self.duration_seconds = self._source.info.duration_seconds
        self.opened.set()
        return self._source

    def producer(self, plan: RunPlan, source: Source, sink: FrameSink) -> SourceReader:
        """Reads the source into `sink`, for this plan."""
        sampling = _sampling(plan)
        self._producer = SourceReader(
            source,
            sink,
            grid=sampling.grid,
            prepare=sampling.prepare,
            detail=sampling.detail,
            between=sampling.between,
            letterboxed=sampling.letterboxed,
            pace=self._pace,
            range_seconds=self._range_seconds,
            on_grab=self.on_grab,
            tap=lambda: self.tap,
        )
        return self._producer

    def _open_reference(self) -> Source:
        options = replace(
            source_options(self._settings.source),
            kind="live" if self.is_live else "file",
            packets=self.packets,
            opened=self._opened,
        )
        self._opened = None
        # Of this opening alone: a source sets it when it is closed, and others must go on.
        self._close = threading.Event()
        if self._stop.is_set():
            self._close.set()
        context = OpenContext(self.name, options, listener=self, stop=self._close)
        return open_in(self.reference, context)

    def _wait_until_ready(self, source: Source, worker: Worker) -> bool:
        """Live frames that arrive while the models load are forgotten: they would be late."""
        while not self.ready.is_set():
            if worker.stopping or self._stop.is_set():
                return False
            if self.is_live:
                if (grab := source.read()) is None:
                    return False
                self.on_grab(grab)
                self._pace(grab.t_seconds)
            else:
                self.ready.wait(WAIT_SECONDS)
        return not self._stop.is_set()

    def _pace(self, t_seconds: float) -> None:
        """Wait until this media time of a file is due; a camera has a pace of its own."""
        if self._speed <= 0 or (self.is_live and not self.duration_seconds):
            return
        if self._started is None:
            self._started = time.monotonic()
        due = self._started + t_seconds / self._speed
        self._stop.wait(max(0.0, due - time.monotonic()))


def _sampling(plan: RunPlan) -> Sampling:
    assert plan.bundle.encoder is not None
    return Sampling(
        SamplingGrid(plan.stream.fps),
        plan.bundle.encoder.prepare,
        plan.detail,
        between=lambda t: plan.samples_source,
        letterboxed=plan.large is not None and plan.large.crop == "letterbox",
    )


def ring_for(evidence: EvidenceSettings) -> PacketRing | None:
    """Packets are kept only for clips, and not where faces must be blurred: they show them."""
    unchanged = evidence.folder is not None and evidence.blur_faces is None
    return PacketRing() if unchanged else None
