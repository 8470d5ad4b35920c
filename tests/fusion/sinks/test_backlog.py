"""At least once: what a sink did not get comes from the store, in this run and in the next."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest
from sink_data import SECONDS

from egomon.errors import ConfigError, DeliveryError
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.types import GapData, StatsData
from egomon.fusion.sinks.backlog import Backlog
from egomon.fusion.sinks.sink import SinkContext
from egomon.fusion.sinks.worker import SinkWorker
from egomon.fusion.store.events import EventStore
from egomon.fusion.transport.sequencer import Sequencer
from egomon.testing import sample_messages


class Run:
    """One run of a monitor with a store and one sink, which may be away."""

    def __init__(self, path: Path, boot: str, *, capacity: int = 1024, is_away: bool = False):
        self.got: list[tuple[str, int]] = []
        self.recovered: list[bool] = []
        self.is_away = is_away
        self.tried = threading.Event()
        self.store = EventStore(path)
        self.store.begin(boot=boot, sources=["cam0"], started_wall_ns=0)
        self.numbers = Sequencer(boot, "host", lambda: 0)
        self.come_back = threading.Event()
        context = SinkContext(boot=boot)
        self.worker = SinkWorker(
            "the sink",
            self,
            context,
            backlog=Backlog(path, "file:x", 0, boot),
            capacity=capacity,
            pause=lambda seconds: self.come_back.wait(SECONDS) and context.stop.is_set(),
        )
        self.context = context
        self.worker.open()

    def open(self, context: SinkContext) -> None:
        """Nothing to open."""

    def send(self, message: Message) -> None:
        self.tried.set()
        if self.is_away:
            raise DeliveryError("no route")
        self.got.append((message.envelope.boot, message.envelope.seq))
        self.recovered.append(message.recovered)

    def close(self) -> None:
        """Nothing to close."""

    def publish(self, count: int) -> None:
        for number in range(count):
            data = GapData(cause="staleness", count=number)
            event = self.numbers.number("cam0", data)
            self.store.append([event])
            self.worker.put(event, data, ())

    def end(self) -> None:
        """The run ends in time where the sink is there; else it is killed."""
        self.worker.finish()
        if self.is_away:
            self.context.stop.set()
            self.come_back.set()
        self.worker.join(SECONDS)
        self.store.close()


def numbers(boot: str, *spans: range) -> list[tuple[str, int]]:
    return [(boot, seq) for span in spans for seq in span]


def test_what_the_queue_could_not_hold_comes_from_the_store_in_order(tmp_path: Path) -> None:
    run = Run(tmp_path / "events.sqlite", "a", capacity=4, is_away=True)
    run.publish(600)
    assert run.tried.wait(SECONDS)
    run.publish(100)
    assert run.worker.fault == "the sink is away (no route); messages wait, alerts go on"
    run.is_away = False
    run.come_back.set()
    run.end()
    assert run.got == numbers("a", range(1, 701))
    assert sum(run.recovered) >= 690
    assert (run.worker.lost, run.worker.fault) == (0, None)


def test_the_next_runs_deliver_what_each_former_one_left_once_and_first(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    first = Run(path, "a")
    first.publish(3)
    first.worker.finish()
    first.worker.join(SECONDS)
    first.store.close()
    assert first.got == numbers("a", range(1, 4))
    for boot in "bc":
        away = Run(path, boot, capacity=2, is_away=True)
        away.publish(5)
        away.end()
        assert away.got == []
        assert away.worker.lost == 0
    last = Run(path, "d")
    last.publish(2)
    last.end()
    assert last.got == [*numbers("b", range(1, 6)), *numbers("c", range(1, 6)), ("d", 1), ("d", 2)]
    again = Run(path, "e")
    again.end()
    assert again.got == []


def test_a_killed_run_is_resumed_after_the_last_delivered_event(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    backlog = Backlog(path, "file:x", 0, "a").open()
    with EventStore(path) as store:
        numbering = Sequencer("a", "host", lambda: 0)
        store.append([numbering.number("cam0", GapData(cause="x", count=n)) for n in range(9)])
    backlog.delivered("a", 6)
    backlog.close()  # as the kernel does for a killed process
    run = Run(path, "b")
    run.end()
    assert run.got == numbers("a", range(7, 10))


def test_statistics_are_in_no_store_and_count_as_lost(tmp_path: Path) -> None:
    run = Run(tmp_path / "events.sqlite", "a", capacity=1, is_away=True)
    run.publish(1)
    assert run.tried.wait(SECONDS)
    stats = next(m.data for m in sample_messages() if isinstance(m.data, StatsData))
    run.worker.put(run.numbers.number("cam0", stats), stats, ())
    run.publish(1)
    run.is_away = False
    run.come_back.set()
    run.end()
    assert run.got == [("a", 1), ("a", 3)]
    assert run.worker.lost == 1


def test_a_second_process_with_the_same_sink_leaves_the_cursor_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "events.sqlite"
    first = Backlog(path, "file:x", 0, "a").open()
    with caplog.at_level(logging.WARNING):
        second = Backlog(path, "file:x", 0, "b").open()
    assert "another monitor with this store has the same sink" in caplog.text
    assert not second.is_kept
    other = Backlog(path, "file:x", 1, "b").open()
    assert other.is_kept
    for backlog in (first, second, other):
        backlog.close()


def test_a_damaged_cursor_is_told_and_begins_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "events.sqlite"
    Backlog(path, "file:x", 0, "a").open().close()
    (cursor,) = tmp_path.glob("*-sink-*")
    assert cursor.stat().st_mode & 0o777 == 0o600
    cursor.write_bytes(b"\xff[[[")
    backlog = Backlog(path, "file:x", 0, "b").open()
    assert list(backlog.former()) == []
    backlog.close()
    assert "a sink's cursor is damaged" in caplog.text


def test_a_cursor_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="remembers what a sink has delivered: No such file"):
        Backlog(tmp_path / "none" / "events.sqlite", "file:x", 0, "a").open()
