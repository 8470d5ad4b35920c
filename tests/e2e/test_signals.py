"""Signals at bad moments: while connecting, with alerts open, and the one nobody can catch."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from egomon.fusion.messages.types import AlertData, StatsData
from egomon.fusion.store.events import EventStore
from egomon.fusion.transport.subscriber import AlertSubscriber, Message

Start = Callable[..., "subprocess.Popen[str]"]

ALERTING = ("--no-large", "--threshold", "0.0", "--policy", "fixed", "--length", "2")
NAMES = ("left", "middle", "right")
WAIT_SECONDS = 60.0


def cameras(bundle: Path, store: Path, endpoints: tuple[str, str]) -> list[object]:
    """`egomon live` with three cameras whose every segment is a hit, so an alert stays open."""
    publish, control = endpoints
    sources = [
        part
        for seed, name in enumerate(NAMES)
        for part in ("--device", f"synthetic:realtime=1,seconds=600,seed={seed}", "--name", name)
    ]
    return [
        *("live", *sources, "--model", bundle, "--store", store, "--quiet"),
        *("--pub", publish, "--control", control, *ALERTING, "--stride", "1"),
    ]


def collect(
    subscriber: AlertSubscriber, enough: Callable[[list[AlertData]], bool]
) -> list[AlertData]:
    """Alerts from the bus until there are enough of them."""
    found: list[AlertData] = []
    deadline = time.monotonic() + WAIT_SECONDS
    while not enough(found):
        assert time.monotonic() < deadline, found
        event = subscriber.receive(1)
        if isinstance(event, Message) and isinstance(event.data, AlertData):
            found.append(event.data)
    return found


def sources_with(phase: str) -> Callable[[list[AlertData]], bool]:
    return lambda found: {a.source for a in found if a.phase == phase} == set(NAMES)


def test_three_open_alerts_get_three_ends_by_sigterm_and_after_sigkill_from_the_next_start(
    start: Start, tiny_bundle: Path, tmp_path: Path, endpoints: tuple[str, str]
) -> None:
    store = tmp_path / "events.sqlite"
    command = cameras(tiny_bundle, store, endpoints)

    with AlertSubscriber(endpoints[0], control=endpoints[1]) as subscriber:
        process = start(*command)
        collect(subscriber, sources_with("new"))
        process.send_signal(signal.SIGTERM)
        ends = [a for a in collect(subscriber, sources_with("end")) if a.phase == "end"]
        assert [a.reason for a in ends] == ["shutdown"] * 3
        assert all(a.media_end is not None for a in ends)
        process.communicate(timeout=20)
        assert process.returncode == 143

        killed = start(*command)
        opened = collect(subscriber, sources_with("new"))
        killed.kill()
        killed.communicate(timeout=20)
        with EventStore(store) as kept:
            assert len(kept.open_alerts()) == 3

        start(*command)
        ends = [a for a in collect(subscriber, sources_with("end")) if a.phase == "end"]
    assert [a.reason for a in ends] == ["monitor_restarted"] * 3
    assert {a.alert_id for a in ends} <= {a.alert_id for a in opened}


@pytest.mark.parametrize("moment", ["loading", "watching"])
def test_ctrl_c_does_not_wait_for_a_connection_to_a_black_hole(
    moment: str, start: Start, tiny_bundle: Path, endpoints: tuple[str, str], tmp_path: Path
) -> None:
    publish, control = endpoints
    patient = tmp_path / "egomon.toml"
    patient.write_text("[source]\nopen_timeout_seconds = 600\nread_timeout_seconds = 600\n")
    with (
        socket.create_server(("127.0.0.1", 0)) as hole,
        AlertSubscriber(publish, control=None, kinds=("stats",)) as subscriber,
    ):
        process = start(
            *("live", "--device", f"rtsp://127.0.0.1:{hole.getsockname()[1]}/", "--wait-source"),
            *("--model", tiny_bundle, "--store", "none", "--quiet"),
            *("--pub", publish, "--control", control, "--config", patient),
        )
        hole.settimeout(WAIT_SECONDS)
        connection, _ = hole.accept()  # and never a byte
        deadline = time.monotonic() + WAIT_SECONDS
        while moment == "watching":
            assert time.monotonic() < deadline
            event = subscriber.receive(1)
            if isinstance(event, Message) and isinstance(event.data, StatsData):
                break
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
        connection.close()
    assert process.returncode == 130, told
    assert "Traceback" not in told
