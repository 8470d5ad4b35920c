from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import FakeClock

from egomon.monitor.workers import alert_worker
from egomon.monitor.workers.alert_worker import AlertWorker
from egomon.stream.channel import Channel, WakeUp


def test_timers_come_on_the_second_and_not_with_the_next_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, inbox, wake = FakeClock(0.1), Channel[Any](1), WakeUp()
    beats: list[float] = []

    class Poller:
        """Waits on the fake clock; a message comes at odd times."""

        def register(self, *_: object) -> None:
            pass

        def poll(self, timeout_ms: float) -> None:
            clock.now += min(timeout_ms / 1000, 0.19)
            if clock.now > 5:
                inbox.close()

    monkeypatch.setattr(alert_worker.zmq, "Poller", Poller)
    worker = AlertWorker(
        {},
        SimpleNamespace(degraded=False),  # type: ignore[arg-type]
        SimpleNamespace(ready=list, retry=lambda: beats.append(clock.now)),  # type: ignore[arg-type]
        SimpleNamespace(sockets_to_poll=[], serve=lambda: None),  # type: ignore[arg-type]
        inbox=inbox,
        results=Channel(1),
        notices=Channel(1),
        wake=wake,
        stats=lambda source: pytest.fail(source),
        ordered=False,
        clock=clock,
    )
    worker.run(SimpleNamespace(beat=lambda: None))  # type: ignore[arg-type]
    wake.close()
    assert [round(b - a, 2) for a, b in itertools.pairwise(beats)] == [1.0] * 4
