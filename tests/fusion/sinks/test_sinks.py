"""Sinks: what they get, and that none of them can hold up or end a run."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import FakeClock
from sink_data import SECONDS, end, hand_over

from egomon.errors import ConfigError, DeliveryError, MissingExtraError, PluginError, UsageError
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.session_file import read_session
from egomon.fusion.sinks.file import FileSink
from egomon.fusion.sinks.open import find_sink, make_sink
from egomon.fusion.sinks.sink import SinkContext
from egomon.fusion.sinks.sinks import Sinks
from egomon.fusion.sinks.worker import SinkWorker
from egomon.testing import check_sink, sample_messages


class ListSink:
    """Remembers what it gets; `on_send` may raise or wait."""

    def __init__(self, on_send: Callable[[Message], object] = lambda message: None) -> None:
        self.on_send = on_send
        self.got: list[Message] = []
        self.threads: set[int] = set()
        self.is_closed = False
        self.context: SinkContext | None = None

    def open(self, context: SinkContext) -> None:
        self.context = context
        self.threads.add(threading.get_ident())

    def send(self, message: Message) -> None:
        self.threads.add(threading.get_ident())
        self.on_send(message)
        self.got.append(message)

    def close(self) -> None:
        self.threads.add(threading.get_ident())
        self.is_closed = True


def test_a_sink_gets_every_message_whole_and_in_order_in_a_thread_of_its_own() -> None:
    sink = ListSink()
    worker = SinkWorker("the sink", sink, SinkContext(("cam0",), "boot"))
    worker.open()
    hand_over(worker, *sample_messages())
    end(worker)
    assert sink.got == sample_messages()
    assert sink.is_closed
    assert len(sink.threads) == 1
    assert threading.get_ident() not in sink.threads
    assert sink.context is not None
    assert (sink.context.sources, sink.context.boot) == (("cam0",), "boot")
    assert (worker.lost, worker.fault) == (0, None)


def test_a_sink_that_refuses_is_a_fault_until_it_takes_the_next_message() -> None:
    is_back, may_go_on = threading.Event(), threading.Event()
    first, second, *_ = sample_messages()

    def on_send(message: Message) -> None:
        if message == first:
            raise OSError("server at https://me:hunter2@chat/ is away")
        is_back.set()
        may_go_on.wait(SECONDS)

    sink = ListSink(on_send)
    worker = SinkWorker("the sink 'chat' of package p 1", sink, SinkContext())
    worker.open()
    hand_over(worker, first, second)
    assert is_back.wait(SECONDS)
    told = "the sink 'chat' of package p 1 refuses messages; alerts go on, see the log"
    assert worker.fault == told
    may_go_on.set()
    end(worker)
    assert sink.got == [second]
    assert (worker.lost, worker.fault) == (1, None)


def test_a_slow_sink_loses_the_oldest_messages_and_nobody_waits_for_it() -> None:
    is_sending, may_go_on = threading.Event(), threading.Event()

    def on_send(message: Message) -> None:
        is_sending.set()
        may_go_on.wait(SECONDS)

    clock, sink = FakeClock(), ListSink(on_send)
    worker = SinkWorker("the sink 'chat'", sink, SinkContext(), capacity=2, clock=clock)
    worker.open()
    messages = sample_messages()
    hand_over(worker, messages[0])
    assert is_sending.wait(SECONDS)
    hand_over(worker, *messages[1:])
    assert worker.lost == 2
    assert worker.fault == "the sink 'chat' is too slow and loses messages; alerts go on"
    clock.now = 61.0
    assert worker.fault is None
    may_go_on.set()
    end(worker)
    assert sink.got == [messages[0], *messages[-2:]]


def test_a_replay_waits_for_room_so_that_its_sinks_get_everything() -> None:
    sink = ListSink()
    worker = SinkWorker("the sink", sink, SinkContext(), wait=True, capacity=1)
    worker.open()
    hand_over(worker, *sample_messages() * 20)
    end(worker)
    assert sink.got == sample_messages() * 20


def test_a_sink_that_never_returns_is_abandoned_and_what_it_did_not_take_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    is_sending, may_end = threading.Event(), threading.Event()

    def on_send(message: Message) -> None:
        is_sending.set()
        may_end.wait(SECONDS)
        raise DeliveryError("away")

    sink, context = ListSink(on_send), SinkContext()
    worker = SinkWorker("the sink", sink, context, capacity=3)
    worker.open()
    messages = sample_messages()
    hand_over(worker, messages[0])
    assert is_sending.wait(SECONDS)
    hand_over(worker, *messages[1:], *messages[:3])  # of these the last three have room
    worker.finish()
    worker.join(0.0)
    assert context.stop.is_set()
    assert not sink.is_closed
    everything = 1 + len(messages[1:]) + 3
    assert worker.lost == everything
    may_end.set()
    worker.join(SECONDS)
    assert sink.is_closed
    assert worker.lost == everything
    told = [each.getMessage() for each in caplog.records]
    assert told.count("the sink did not take the last 4 messages") == 1


@pytest.mark.parametrize("is_stuck", [True, False])
def test_the_end_of_a_run_says_what_it_waits_for_if_that_takes_long(
    is_stuck: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("egomon.fusion.sinks.worker.SILENT_SECONDS", 0.05 if is_stuck else SECONDS)
    context = SinkContext()
    sink = ListSink(lambda message: is_stuck and context.stop.wait(SECONDS))
    worker = SinkWorker("the sink 'chat'", sink, context)
    worker.open()
    hand_over(worker, sample_messages()[0])
    worker.finish()
    worker.join(0.1 if is_stuck else SECONDS)
    told = "waiting up to 0 s more for the last messages of the sink 'chat'"
    assert [each.getMessage() for each in caplog.records] == [told] * is_stuck


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ConfigError("give a channel"), ConfigError, "^give a channel$"),
        (
            OSError("no route to https://me:hunter2@chat/"),
            PluginError,
            r"^the sink 'chat' cannot be opened: OSError: no route to https://\*\*\*@chat/; ",
        ),
    ],
)
def test_a_sink_that_cannot_be_opened_ends_the_run_before_it_begins(
    error: Exception, kind: type[Exception], message: str
) -> None:
    class Closed(ListSink):
        def open(self, context: SinkContext) -> None:
            raise error

    sink = Closed()
    worker = SinkWorker("the sink 'chat'", sink, SinkContext())
    with pytest.raises(kind, match=message):
        worker.open()
    end(worker)
    assert sink.is_closed


def test_a_sink_whose_thread_has_ended_costs_its_own_messages_only() -> None:
    def on_send(message: Message) -> None:
        raise SystemExit

    worker = SinkWorker("the sink 'chat'", ListSink(on_send), SinkContext(), wait=True)
    worker.open()
    hand_over(worker, sample_messages()[0])
    worker.join(SECONDS)
    hand_over(worker, *sample_messages())
    assert worker.lost >= len(sample_messages())
    assert worker.fault == "the sink 'chat' crashed; alerts go on without it, see the log"


def test_the_file_sink_keeps_the_contract_and_continues_its_file(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    check_sink(lambda: make_sink(f"file:{path}"))
    assert list(read_session(path)) == sample_messages() * 2


def test_of_several_sinks_one_that_cannot_open_closes_the_others(tmp_path: Path) -> None:
    good, bad = tmp_path / "a.jsonl", tmp_path / "none" / "b.jsonl"
    with (
        pytest.raises(ConfigError, match=r"cannot write events to .*: No such file or directory"),
        Sinks([f"file:{good}", f"file:{bad}"], SinkContext(), wait=False),
    ):
        pytest.fail("it began half plugged")
    assert good.read_bytes() == b""
    assert not [t for t in threading.enumerate() if t.name == "egomon-sink"]


@pytest.mark.parametrize("reference", ["events.jsonl", "smoke://signal", ":", ""])
def test_what_names_no_sink_is_refused_with_the_names_there_are(reference: str) -> None:
    with pytest.raises(UsageError, match=r"is no sink; give one of: apprise:\.\.\., exec:\.\.\., "):
        find_sink(reference)


def test_a_file_sink_without_a_path_is_refused() -> None:
    with pytest.raises(UsageError, match="write file:PATH"):
        FileSink("file:")


@pytest.mark.parametrize(
    ("reference", "module"),
    [("mqtt://h/", "paho.mqtt.client"), ("apprise:json://h", "apprise")],
)
def test_without_its_client_a_sink_names_the_extra_to_install(
    reference: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'egomon\[sinks\]'"):
        make_sink(reference)
