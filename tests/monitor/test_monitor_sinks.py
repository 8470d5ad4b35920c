"""Sinks in a run: they get what is published; a failing one is shown and changes no alert."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from fakes import FrameList
from test_monitor import alerts, bright_at, monitor
from test_monitor_faults import errors, wait_for_room

from egomon.cli.page.live_page import LivePage
from egomon.config import load_settings
from egomon.errors import PluginError, UsageError
from egomon.fusion.messages.envelope import encode
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.session_file import read_session
from egomon.fusion.messages.types import AlertData
from egomon.fusion.sinks.sink import SinkContext
from egomon.fusion.store.events import EventStore
from egomon.monitor import LatencyModel
from egomon.plugins import PluginRegistry

SPANS = (3, 6), (12, 15)


class RefusingSink:
    """Refuses all that it gets."""

    def __init__(self, reference: str) -> None:
        self.reference = reference

    def open(self, context: SinkContext) -> None:
        """Nothing to open, unless told to fail."""
        if self.reference == "refuse:open":
            raise RuntimeError("no route")

    def send(self, message: Message) -> None:
        raise OSError("the printer is on fire")

    def close(self) -> None:
        """Nothing to close."""


class AskingSink:
    """Asks of each new alert whether it was seen, before and after `tell` says so."""

    tell: Callable[[str], object]
    answers: ClassVar[list[tuple[bool, bool]]] = []

    def __init__(self, reference: str) -> None:
        self.context = SinkContext()

    def open(self, context: SinkContext) -> None:
        self.context = context

    def send(self, message: Message) -> None:
        if isinstance(message.data, AlertData) and message.data.phase == "new":
            alert_id = message.data.alert_id
            before = alert_id in self.context.seen
            type(self).tell(alert_id)
            self.answers.append((before, alert_id in self.context.seen))

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """`file:` as ever, and `refuse:`."""
    built_in = {
        "file": "egomon.fusion.sinks.file:FileSink",
        "ask": "test_monitor_sinks:AskingSink",
        "refuse": "test_monitor_sinks:RefusingSink",
    }
    made = PluginRegistry("egomon.sinks", "sink", built_in, lambda group: ())
    monkeypatch.setattr("egomon.fusion.sinks.open.SINKS", made)


def alert_bytes(messages: list[Message]) -> list[bytes]:
    return [encode(m.data) for m in messages if isinstance(m.data, AlertData)]


@pytest.mark.parametrize("options", [{}, {"latency_model": LatencyModel()}])
def test_a_file_gets_every_event_of_a_replay_numbered_as_on_the_wire(
    tmp_path: Path, options: dict[str, LatencyModel]
) -> None:
    path = tmp_path / "session.jsonl"
    watch, events = monitor(FrameList(bright_at(*SPANS)), sinks=[f"file:{path}"], **options)
    watch.run()
    session = list(read_session(path))
    assert [encode(message.data) for message in session] == [encode(data) for data in events]
    assert len(alert_bytes(session)) == 4
    assert {message.envelope.boot for message in session} == {watch.boot}
    numbers = [message.envelope.seq for message in session]
    assert numbers == sorted(set(numbers))


def test_a_sink_that_refuses_shows_in_the_status_and_costs_no_alert(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    source = FrameList(bright_at(*SPANS), kind="live")
    watch, events = monitor(source, live=True, sinks=["refuse:all", f"file:{path}"])
    told = threading.Event()

    def on_read(index: int) -> None:
        wait_for_room(watch)
        if index == 250:
            told.wait(20)

    source.on_read = on_read
    watch.run(lambda: told.set() if "SINK_FAILED" in errors(events) else None)
    assert told.is_set()
    assert [alert.phase for alert in alerts(events)] == ["new", "end"] * 2
    assert alert_bytes(list(read_session(path))) == [encode(alert) for alert in alerts(events)]


@pytest.mark.parametrize(
    ("uri", "kind", "message"),
    [
        ("smoke:signal", UsageError, "'smoke:signal' is no sink; give one of: ask:..., file:"),
        ("refuse:open", PluginError, "cannot be opened: RuntimeError: no route"),
    ],
)
def test_a_sink_that_cannot_be_had_ends_the_run_before_a_frame_is_read(
    uri: str, kind: type[Exception], message: str
) -> None:
    source = FrameList(bright_at(*SPANS))
    source.on_read = lambda index: pytest.fail("it read a frame")
    watch, events = monitor(source, sinks=[uri])
    with pytest.raises(kind, match=message):
        watch.run()
    assert events == []


@pytest.mark.parametrize("who", ["the page", "a verdict", "an acknowledgement"])
def test_a_sink_learns_that_somebody_has_seen_an_alert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    path = tmp_path / "events.sqlite"
    watch, _ = monitor(FrameList(bright_at(*SPANS)), sinks=["ask:"], store=path)
    page = LivePage("bench", load_settings(None, {}))
    page.connect(watch)

    def tell(alert_id: str) -> object:
        if who == "the page":
            return page.hub.actions["seen"]({"alerts": [alert_id]})
        with EventStore(path, busy_seconds=5) as people:  # as another process does
            if who == "a verdict":
                return people.feedback(alert_id, "unsure", "", 1)
            return people.ack(alert_id, "Ada", 1)

    monkeypatch.setattr(AskingSink, "tell", staticmethod(tell), raising=False)
    monkeypatch.setattr(AskingSink, "answers", [])
    watch.run()
    assert AskingSink.answers == [(False, True)] * 2
    assert len(page.hub.snapshot()["seen"]) == (2 if who == "the page" else 0)
    assert page.hub.actions["seen"]({"alerts": 3}), "anything may come from a page"
