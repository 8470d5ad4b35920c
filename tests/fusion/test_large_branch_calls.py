"""Several calls of a large branch on another machine at a time, and their deadlines."""

from __future__ import annotations

import threading

import numpy as np
from fakes import frame, score

from egomon.branches.interfaces import BranchScore
from egomon.branches.segment_scorer import ScoredSegment
from egomon.errors import LargeEndpointError
from egomon.fusion.large_branch_queue import (
    LargeBranchJob,
    LargeBranchQueue,
    LargeBranchResult,
    refine,
    run_refiner,
)
from egomon.stream.channel import Channel
from egomon.stream.frame import Segment
from egomon.stream.worker import Worker


def job(index: int, deadline: float | None = None) -> LargeBranchJob:
    frames = (frame(float(index)),)
    segment = Segment(index, f"cam{index}", index, index + 1.0, 0, np.array([index]), frames)
    scored = ScoredSegment(segment, score("small", 0.0), False, None, 0, 0, 0)
    return LargeBranchJob(scored, 0.0, deadline)


class Remote:
    """Answers once `in_flight` calls are under way."""

    def __init__(self, in_flight: int) -> None:
        self.in_flight = in_flight
        self.together = threading.Barrier(in_flight)
        self.seconds: list[float | None] = []
        self.closed = False

    def connect(self) -> None: ...

    def score(self, segment: Segment) -> BranchScore:
        raise AssertionError("called without a deadline")

    def score_within(self, segment: Segment, seconds: float | None) -> BranchScore:
        self.seconds.append(seconds)
        self.together.wait(10)
        return score("large", 1.0)

    def close(self) -> None:
        self.closed = True


def test_a_remote_branch_gets_as_many_calls_at_a_time_as_it_takes_and_is_closed() -> None:
    queue, results = LargeBranchQueue(), Channel[LargeBranchResult](8)
    remote = Remote(3)
    for index in range(6):
        queue.submit(job(index))
    worker = Worker("large", lambda _: run_refiner(lambda: remote, queue, results))
    worker.start()
    answers = [results.get(10) for _ in range(6)]
    queue.close()
    assert worker.join(10)
    assert all(answer is not None and answer.score is not None for answer in answers)
    assert remote.closed


def test_a_call_is_given_the_time_that_its_deadline_leaves() -> None:
    remote = Remote(1)
    refine(remote, job(0, deadline=12.0), now=10.5)
    refine(remote, job(1), now=10.5)
    assert remote.seconds == [1.5, None]
    assert refine(remote, job(2, deadline=12.0), now=12.5).expired


def test_a_refusal_is_a_failed_call_and_a_server_out_of_memory_opens_the_breaker() -> None:
    class Refusing(Remote):
        def score_within(self, segment: Segment, seconds: float | None) -> BranchScore:
            raise LargeEndpointError("http://gpu/v1 failed (status 500): CUDA out of memory")

    result = refine(Refusing(1), job(0), now=0.0)
    assert result.out_of_memory
    assert result.error is not None
    assert "status 500" in result.error


def test_a_queue_tells_when_it_is_closed() -> None:
    queue = LargeBranchQueue()
    assert not queue.wait_closed(0.0)
    queue.close()
    assert queue.wait_closed(10.0)
