"""Wall and CPU time, medians of interleaved repeats, and load to measure under."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from egomon.branches.threads import usable_cores


@dataclass(frozen=True, slots=True)
class Spent:
    """What a piece of work took."""

    wall_seconds: float
    cpu_seconds: float
    """User and system time of all threads of this process."""


def spent(work: Callable[[], object]) -> Spent:
    """Run `work` once."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def in_turn(works: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, Spent]:
    """Each work in turn, `repeats` times over; medians by name."""
    found: dict[str, list[Spent]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            found[name].append(spent(work))
    return {name: middle(values) for name, values in found.items()}


def middle(values: Sequence[Spent]) -> Spent:
    """Medians of both times."""
    return Spent(
        statistics.median(v.wall_seconds for v in values),
        statistics.median(v.cpu_seconds for v in values),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


@contextmanager
def busy_cores() -> Iterator[int]:
    """Other programs that want every core, for as long as this is open."""
    spin = "while True: pass"
    spinners = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(usable_cores())]
    try:
        yield len(spinners)
    finally:
        for process in spinners:
            process.kill()
            process.wait()
