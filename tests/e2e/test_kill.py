"""kill -9 at random points: what was announced is in the store, and nothing is open twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from egomon.fusion.messages.envelope import decode_data, decode_envelope
from egomon.fusion.messages.types import AlertData
from egomon.fusion.store.events import EventStore, StoredEvent

TESTS = Path(__file__).parents[1]
ALL_LINES = 12
"""About what an undisturbed replay says; a later point lets it end by itself."""


@contextmanager
def zygote(store: Path) -> Iterator[subprocess.Popen[str]]:
    folders = os.pathsep.join((str(TESTS), str(TESTS / "monitor")))
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": folders}
    command = [sys.executable, str(TESTS / "e2e" / "kill_child.py"), str(store)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0


def one_life(process: subprocess.Popen[str], die_after: int) -> list[tuple[str, str, int]]:
    """Run a monitor, kill it after so many announcements; returns those it made."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    said: list[tuple[str, str, int]] = []
    pid = 0
    while (line := process.stdout.readline().split()) != ["over"]:
        assert line, "the monitors' parent died"
        if line[0] == "pid":
            pid = int(line[1])
        else:
            said.append((line[1], line[2], int(line[3])))
        if len(said) == die_after or (die_after == 0 and pid):
            os.kill(pid, signal.SIGKILL)
            die_after = -1
    return said


def alert_of(event: StoredEvent) -> AlertData:
    data = decode_data("alert", decode_envelope(event.envelope).data)
    assert isinstance(data, AlertData)
    return data


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("points", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_after_kill_9_nothing_announced_is_missing_and_nothing_is_open_twice(
    points: int, tmp_path: Path
) -> None:
    store_path = tmp_path / "events.sqlite"
    rng = random.Random(points)
    said: list[tuple[str, str, int]] = []
    with zygote(store_path) as process:
        for _ in range(points):
            said += one_life(process, rng.randrange(ALL_LINES))
        said += one_life(process, -1)  # the last one may live
    boots = {boot for boot, _, _ in said}
    with EventStore(store_path) as store:
        assert store.open_alerts() == []
        stored: set[tuple[str, str, int]] = set()
        for alert_id in {alert_id for _, alert_id, _ in said}:
            is_open = False
            for event in store.revisions(alert_id):
                alert = alert_of(event)
                stored.add((event.boot, alert_id, alert.rev))
                assert is_open == (alert.phase != "new"), f"{alert_id} rev {alert.rev}"
                is_open = alert.phase in ("new", "update")
            assert not is_open
        assert set(said) - stored == set()
        first = said[0][0]
        assert store.last_boot() != first
        numbers = [(e.boot, e.seq) for e in store.since(first, 0, limit=1_000_000)]
    assert len(numbers) == len(set(numbers))
    assert len(boots) > points // 2
