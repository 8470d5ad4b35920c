"""Clips of alerts, written by a thread of their own after the alert is out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from egomon.errors import ConfigError, StoreError
from egomon.fusion.media.images import Size, file_stem, write_clip
from egomon.fusion.media.remux import WritePackets, write_packets
from egomon.fusion.messages.types import Evidence
from egomon.fusion.store.events import EventStore
from egomon.stream.buffer import RollingBuffer
from egomon.stream.channel import Channel, ChannelClosed, WakeUp
from egomon.stream.frame import Frame, Segment
from egomon.stream.packet_ring import PacketClip, PacketRing
from egomon.stream.worker import Worker
from egomon.units import NS_PER_SECOND

logger = logging.getLogger(__name__)

MOST_JOBS = 8
"""Clips that may wait; each holds its pictures. The oldest gives way."""
POLL_SECONDS = 0.2
OVERDUE_SECONDS = 5.0
"""A stalled source does not hold back the clip for longer than this."""
JOIN_SECONDS = 5.0
DAY_NS = 86_400 * NS_PER_SECOND
# Later than any clip, in nanoseconds, and still an integer of SQLite.
EVER = 2**62
# Containers round to milliseconds; more means that the source's clock jumped within the clip.
SAME_CLOCK_SECONDS = 1e-3

WriteClip = Callable[[Path, Sequence[Frame], Size | None], Evidence]

TIDY_SECONDS = 60.0
"""Between two looks for clips that are too old."""


@dataclass(frozen=True, slots=True)
class ClipBounds:
    """Length of clips, their folder, and how many are kept."""

    folder: Path
    before_seconds: float = 3.0
    after_seconds: float = 2.0
    max_bytes: int = 1 << 30
    keep_days: float = 7.0


@dataclass(frozen=True, slots=True, eq=False)
class ClipJob:
    """A clip to write once its last second is there."""

    alert_id: str
    source: str
    t_start: float
    t_end: float
    epoch: int
    early: tuple[Frame, ...]
    """Frames that the buffer held when the alert opened: safe from eviction."""
    buffer: RollingBuffer
    size: Size | None
    give_up_at: float
    t_segment: float = 0.0
    """Start of the segment itself."""
    packets: PacketRing | None = None
    """Packets of the source; None if it has none."""

    def is_due(self, now: float) -> bool:
        """True if no more frames will come for it."""
        newest = self.buffer.latest()
        over = self.buffer.finished or now >= self.give_up_at
        return over or (
            newest is not None and (newest.t_seconds >= self.t_end or newest.epoch != self.epoch)
        )

    def frames(self) -> list[Frame]:
        """List the frames of its span that exist."""
        known = {frame.t_seconds for frame in self.early}
        late = self.buffer.window(self.t_start, self.t_end, self.epoch)
        return [*self.early, *(f for f in late if f.t_seconds not in known)]

    def sent(self, frames: Sequence[Frame]) -> PacketClip | None:
        """Cut its span from the source's packets; None unless it is complete and on one clock."""
        if self.packets is None or not frames:
            return None
        ends = [(f.pts_seconds, f.t_seconds) for f in (frames[0], frames[-1])]
        offsets = [pts - t for pts, t in ends if pts is not None]
        if len(offsets) < len(ends) or abs(offsets[0] - offsets[1]) > SAME_CLOCK_SECONDS:
            return None
        start, latest, end = (t + offsets[0] for t in (self.t_start, self.t_segment, self.t_end))
        arrived_ns = frames[0].mono_ns
        return self.packets.cut(start, max(start, latest), end, arrived_ns=arrived_ns)


@dataclass(frozen=True, slots=True)
class WrittenClip:
    """A clip that is on the disk and in the store."""

    alert_id: str
    source: str
    evidence: Evidence


class ClipWriter:
    """Writes clips, notes them in the store and removes the oldest ones beyond the bounds.

    A fault (folder gone, disk full, store locked) costs the clip, is counted in `failed` and
    logged once; alerts go on, and the next clip that works ends the fault. The bounds hold for
    the clips that the store knows; those of alerts that a person marked are kept.

    Args:
        rules: folder and bounds.
        store: may be used from this thread too.
        wake: notified when a clip is done.
        write: makes the file from pictures.
        remux: makes it from packets, where the source has them.

    Raises:
        ConfigError: the folder cannot be made.
    """

    def __init__(
        self,
        rules: ClipBounds,
        store: EventStore,
        *,
        wake: WakeUp | None = None,
        write: WriteClip = write_clip,
        remux: WritePackets = write_packets,
        clock: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        try:
            rules.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ConfigError(f"cannot make the evidence folder {rules.folder}: {error}") from error
        self.rules = rules
        """May be changed while in use, the folder aside."""
        self._store = store
        self._write, self._remux = write, remux
        self._clock = clock
        self._wall_ns = wall_ns
        self._next_tidy = clock()
        self._jobs: Channel[ClipJob] = Channel(MOST_JOBS, on_full="drop_oldest")
        self.done: Channel[WrittenClip] = Channel(2 * MOST_JOBS, on_full="drop_oldest", wake=wake)
        self.written = 0
        self.failed = 0
        self.fault: str | None = None
        """Error of writing clips; None while it works."""
        self.worker = Worker("evidence", self.run, on_crash=self._crashed)

    @property
    def dropped(self) -> int:
        """Clips that were never written because too many waited."""
        return self._jobs.dropped

    def submit(
        self,
        alert_id: str,
        segment: Segment,
        buffer: RollingBuffer,
        size: Size | None,
        packets: PacketRing | None = None,
    ) -> None:
        """Ask for a clip around a segment; never blocks."""
        start = segment.t_start - self.rules.before_seconds
        end = segment.t_end + self.rules.after_seconds
        job = ClipJob(
            alert_id=alert_id,
            source=segment.source,
            t_start=start,
            t_end=end,
            epoch=segment.epoch,
            early=tuple(buffer.window(start, end, segment.epoch)),
            buffer=buffer,
            size=size,
            give_up_at=self._clock() + self.rules.after_seconds + OVERDUE_SECONDS,
            t_segment=segment.t_start,
            packets=packets,
        )
        try:
            self._jobs.put(job)
        except ChannelClosed:
            logger.debug("no clip of %s: the run is over", alert_id)

    def run(self, worker: Worker) -> None:
        """Run the thread: write due clips until closed, then write waiting ones as they are."""
        waiting: list[ClipJob] = []
        open_ = True
        while open_:
            worker.beat()
            try:
                job = self._jobs.get(POLL_SECONDS)
            except ChannelClosed:
                job, open_ = None, False
            if job is not None:
                waiting.append(job)
            waiting = self.work(waiting, at_once=not open_)
            self.keep_promise()

    def work(self, waiting: Sequence[ClipJob], *, at_once: bool = False) -> list[ClipJob]:
        """Write jobs that are due or too many; return those that still wait."""
        left = []
        for place, job in enumerate(waiting):
            if at_once or len(waiting) - place > MOST_JOBS or job.is_due(self._clock()):
                self._finish(job)
            else:
                left.append(job)
        return left

    def keep_promise(self) -> None:
        """Remove clips that are too old once a minute, also while no new one comes."""
        if self._clock() < self._next_tidy:
            return
        self._next_tidy = self._clock() + TIDY_SECONDS
        try:
            self._tidy(spared=0)
        except (StoreError, OSError) as error:
            logger.warning("clips that are too old could not be removed: %s", error)

    def close(self) -> None:
        """Write waiting clips and end the thread; idempotent."""
        self._jobs.close()
        if self.worker.alive and not self.worker.join(JOIN_SECONDS):
            logger.warning("the evidence writer did not end in time and was abandoned")

    def _finish(self, job: ClipJob) -> None:
        path = (self.rules.folder / f"{file_stem(job.alert_id)}.mp4").absolute()
        try:
            evidence = self._make(path, job)
            self._note(job.alert_id, path)
            self._tidy(spared=1)
        except (StoreError, OSError) as error:
            self.failed += 1
            if self.fault is None:
                logger.error("no clip of %s: %s; alerts go on without clips", job.alert_id, error)
            self.fault = str(error)
            return
        if self.fault is not None:
            logger.warning("clips are written again; %d were lost", self.failed)
        self.fault = None
        self.written += 1
        self.done.put(WrittenClip(job.alert_id, job.source, evidence))

    def _make(self, path: Path, job: ClipJob) -> Evidence:
        frames = job.frames()
        clip = job.sent(frames)
        if clip is not None:
            try:
                return self._remux(path, clip)
            except StoreError as error:  # packets that mp4 does not take; a full disk fails below
                logger.info("%s: clip is encoded: %s", job.source, error)
        return self._write(path, frames, job.size)

    def _crashed(self, worker: Worker) -> None:
        self.fault = f"the writer crashed: {worker.crash}"
        logger.error("no more clips in this run, alerts go on: %s", self.fault, exc_info=True)

    def _note(self, alert_id: str, path: Path) -> None:
        expires = self._wall_ns() + int(self.rules.keep_days * DAY_NS)
        try:
            self._store.add_media(alert_id, str(path), path.stat().st_size, expires)
        except StoreError:
            path.unlink(missing_ok=True)  # a file that nobody knows would never be removed
            raise

    def _tidy(self, *, spared: int) -> None:
        """Remove clips that are too old, then the oldest beyond the bytes, but the newest."""
        old = self._store.expired_media(self._wall_ns())
        rows = self._store.expired_media(EVER)
        total = sum(row.nbytes for row in rows)
        for row in rows[: len(rows) - spared]:
            if row not in old and total <= self.rules.max_bytes:
                break
            Path(row.path).unlink(missing_ok=True)
            self._store.remove_media(row.path)
            total -= row.nbytes
