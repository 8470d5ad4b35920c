"""Threads ask for priority, and do without where it is refused."""

from __future__ import annotations

import os
import resource
import sys
import threading
from pathlib import Path
from typing import Any, Literal

import pytest

from egomon.stream import priority
from egomon.stream.priority import (
    MOST_NICE,
    NICE,
    lower_priority,
    nice_stays_in_session,
    raise_priority,
)
from egomon.stream.worker import Worker


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the system was asked for; it grants everything."""
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda *given: calls.append(("rr", given[1])))
    monkeypatch.setattr(os, "getpriority", lambda *given: 0)
    monkeypatch.setattr(os, "setpriority", lambda *given: calls.append(("nice", *given[1:])))
    return calls


def limit(monkeypatch: pytest.MonkeyPatch, soft: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (soft, soft))


def refuse(*given: Any) -> None:
    raise PermissionError(1, "Operation not permitted")


def test_real_time_is_taken_where_an_administrator_allowed_it(
    monkeypatch: pytest.MonkeyPatch, asked: list[Any]
) -> None:
    limit(monkeypatch, 50)
    assert raise_priority() == "real-time"
    assert asked == [("rr", os.SCHED_RR)]


def test_else_this_thread_alone_becomes_less_nice(
    monkeypatch: pytest.MonkeyPatch, asked: list[Any]
) -> None:
    limit(monkeypatch, 0)
    assert raise_priority() == "nice"
    assert asked == [("nice", threading.get_native_id(), NICE)]


def test_what_is_refused_is_done_without(monkeypatch: pytest.MonkeyPatch, asked: list[Any]) -> None:
    limit(monkeypatch, 50)
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert raise_priority() == "nice"
    monkeypatch.setattr(os, "setpriority", refuse)
    assert raise_priority() == "usual"
    monkeypatch.setattr(priority.sys, "platform", "darwin")
    assert raise_priority() == "usual"


@pytest.mark.parametrize("order", ["first", "usual", "last"])
def test_a_worker_asks_in_its_own_thread_for_its_order(
    monkeypatch: pytest.MonkeyPatch, order: Literal["first", "usual", "last"]
) -> None:
    asking: list[tuple[str, str]] = []
    for asked_for, name in (("first", "raise_priority"), ("last", "lower_priority")):
        note = lambda asked_for=asked_for: asking.append(  # noqa: E731
            (asked_for, threading.current_thread().name)
        )
        monkeypatch.setattr(f"egomon.stream.worker.{name}", note)
    worker = Worker("camera", lambda worker: None, order=order)
    worker.start()
    assert worker.join(10.0)
    assert asking == ([] if order == "usual" else [(order, "egomon-camera")])


@pytest.mark.skipif(sys.platform != "linux", reason="a nice value of a thread is Linux's")
def test_a_thread_that_comes_last_is_nicer_than_the_others_and_no_more_than_may_be() -> None:
    nice: list[int] = []

    def note() -> None:
        own = threading.get_native_id()
        for _ in range(4):
            nice.append(os.getpriority(os.PRIO_PROCESS, own))
            lower_priority()

    ours = os.getpriority(os.PRIO_PROCESS, 0)
    thread = threading.Thread(target=note)
    thread.start()
    thread.join(10.0)
    steps = [min(MOST_NICE, ours - NICE * step) for step in range(4)]
    assert nice == steps
    assert os.getpriority(os.PRIO_PROCESS, 0) == ours


@pytest.mark.parametrize(("found", "stays"), [("1\n", True), ("0\n", False), (None, False)])
def test_a_nice_value_counts_for_less_where_cores_are_shared_by_session(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: str | None, stays: bool
) -> None:
    file = tmp_path / "sched_autogroup_enabled"
    if found is not None:
        file.write_text(found)
    monkeypatch.setattr(priority, "AUTOGROUP", file)
    assert nice_stays_in_session() is stays
