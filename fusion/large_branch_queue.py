"""The large branch's own thread: a short queue with priorities, deadlines and coalescing."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from egomon.branches.interfaces import BranchScore, LargeBranch, RemoteLargeBranch
from egomon.branches.segment_scorer import ScoredSegment
from egomon.stream.channel import WAIT_SECONDS, Channel
from egomon.stream.worker import Worker

# What waits behind more than these would be answered after its deadline.
QUEUE_CAPACITY = 8


@dataclass(frozen=True, slots=True, eq=False)
class LargeBranchJob:
    """One flagged segment."""

    scored: ScoredSegment
    priority: float
    """Higher first: open alerts, then high small scores."""
    deadline: float | None
    """On the queue's clock; None in replay."""
    id: int = field(default_factory=itertools.count().__next__)


@dataclass(frozen=True, slots=True, eq=False)
class LargeBranchResult:
    """Result of a job."""

    job: LargeBranchJob
    score: BranchScore | None
    """None if the job failed or expired."""
    error: str | None = None
    out_of_memory: bool = False
    expired: bool = False


class LargeBranchQueue:
    """Queue of at most eight jobs; the most urgent is taken next, an overdue one never runs.

    A newer segment of the same source that overlaps a queued one replaces it (`coalesced`): the
    large branch would score nearly the same pixels twice.
    """

    def __init__(
        self,
        *,
        capacity: int = QUEUE_CAPACITY,
        coalesce: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._capacity = capacity
        self._coalesce = coalesce
        self._clock = clock
        self._jobs: list[LargeBranchJob] = []
        self._condition = threading.Condition()
        self._closed = False

    def __len__(self) -> int:
        return len(self._jobs)

    def holds(self, job: LargeBranchJob) -> bool:
        """True while the job still waits."""
        with self._condition:
            return job in self._jobs

    def submit(self, job: LargeBranchJob) -> list[LargeBranchJob]:
        """Queue a job; return the jobs that it displaces, which may be itself."""
        with self._condition:
            if self._closed:
                return [job]
            out = self._overlapping(job) if self._coalesce else []
            self._jobs = [j for j in self._jobs if j not in out]
            self._jobs.append(job)
            if len(self._jobs) > self._capacity:
                worst = min(self._jobs, key=lambda j: (j.priority, j.id))
                self._jobs.remove(worst)
                out.append(worst)
            self._condition.notify_all()
            return out

    def take(self, timeout_seconds: float) -> LargeBranchJob | None:
        """The most urgent job; None after the time-out or when closed."""
        with self._condition:
            if not self._jobs and not self._closed:
                self._condition.wait(min(timeout_seconds, WAIT_SECONDS))
            if not self._jobs:
                return None
            best = max(self._jobs, key=lambda j: (j.priority, -j.id))
            self._jobs.remove(best)
            return best

    @property
    def closed(self) -> bool:
        """True once closed."""
        return self._closed

    def wait_closed(self, seconds: float) -> bool:
        """Wait for so long; True once closed."""
        with self._condition:
            return self._condition.wait_for(lambda: self._closed, seconds)

    def close(self) -> None:
        """Drop waiting jobs and accept no more."""
        with self._condition:
            self._closed = True
            self._jobs.clear()
            self._condition.notify_all()

    def _overlapping(self, job: LargeBranchJob) -> list[LargeBranchJob]:
        new = job.scored.segment
        return [
            j
            for j in self._jobs
            if j.scored.segment.source == new.source and j.scored.segment.t_end > new.t_start
        ]


def refine(branch: LargeBranch, job: LargeBranchJob, now: float) -> LargeBranchResult:
    """Run one job; every failure becomes a result, since alerts must go on without it."""
    if job.deadline is not None and now > job.deadline:
        return LargeBranchResult(job, None, "deadline passed while waiting", expired=True)
    try:
        if isinstance(branch, RemoteLargeBranch):
            left = None if job.deadline is None else job.deadline - now
            score = branch.score_within(job.scored.segment, left)
        else:
            score = branch.score(job.scored.segment)
    except MemoryError as error:
        return LargeBranchResult(job, None, f"out of memory: {error}", out_of_memory=True)
    except Exception as error:  # a model of somebody else: anything may come
        oom = "out of memory" in str(error).lower()
        return LargeBranchResult(job, None, f"{type(error).__name__}: {error}", out_of_memory=oom)
    if not all(math.isfinite(z) for z in score.logits):
        return LargeBranchResult(job, None, "the large branch gave a score that is not finite")
    return LargeBranchResult(job, score)


def refine_next(
    branch: LargeBranch,
    queue: LargeBranchQueue,
    timeout_seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> LargeBranchResult | None:
    """Run the most urgent job; None if none came within the time-out."""
    job = queue.take(timeout_seconds)
    return None if job is None else refine(branch, job, clock())


def run_refiner(
    load: Callable[[], LargeBranch],
    queue: LargeBranchQueue,
    results: Channel[LargeBranchResult],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Body of the large worker's thread: load once, then serve until the queue is closed.

    A branch on another machine gets as many threads more as it takes calls at a time.
    """
    # Not later, at the first job: imports of both branches then follow each other.
    branch = load()
    calls = branch.in_flight if isinstance(branch, RemoteLargeBranch) else 1

    def serve(worker: Worker | None = None) -> None:
        while not queue.closed:
            result = refine_next(branch, queue, WAIT_SECONDS, clock)
            if result is not None:
                results.put(result, timeout_seconds=WAIT_SECONDS)

    others = [Worker(f"large-{number}", serve) for number in range(2, calls + 1)]
    for worker in others:
        worker.start()
    serve()
    if isinstance(branch, RemoteLargeBranch):
        for worker in others:
            worker.join(WAIT_SECONDS)
        branch.close()
