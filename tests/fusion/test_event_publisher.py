"""Stored before published, published even if not stored, old events removed on the side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fakes import FakeClock
from wire_station import alert, online

from egomon.errors import StoreError
from egomon.fusion.event_publisher import PRUNE_SECONDS, EventPublisher
from egomon.fusion.store.events import EventStore
from egomon.fusion.transport.server import EventServer


class Story:
    """A store and a bus that write down what is asked of them, in order."""

    def __init__(self, bus: EventServer, store: EventStore) -> None:
        self.done: list[str] = []
        self.failing = False
        self.left_to_prune = 0
        self._bus, self._store = bus, store

    def prepare(self, source: str, data: Any) -> Any:
        return self._bus.prepare(source, data)

    def send(self, prepared: Any, attachments: Any = ()) -> Any:
        self.done.append("send")
        return self._bus.send(prepared, attachments)

    def append(self, events: Any) -> None:
        self.done.append("store")
        if self.failing:
            raise StoreError("the disk is full")
        self._store.append(events)

    def prune(self, now_wall_ns: int) -> int:
        self.done.append("prune")
        self.left_to_prune -= 1
        return max(0, self.left_to_prune)


@pytest.fixture
def story() -> Iterator[Story]:
    with (
        EventStore(None) as store,
        EventServer((), None, host="here", boot="b") as bus,
    ):
        store.begin(boot="b", sources=["cam0"], started_wall_ns=0)
        yield Story(bus, store)


def publisher(story: Story, clock: FakeClock | None = None, **options: Any) -> EventPublisher:
    return EventPublisher(story, story, clock=clock or FakeClock(), **options)  # type: ignore[arg-type]


def test_an_alert_is_stored_before_it_is_sent_and_then_told(story: Story) -> None:
    out = publisher(story, listeners=[lambda source, data: story.done.append(f"tell {source}")])
    out.emit("cam0", alert())
    assert story.done == ["store", "send", "tell cam0"]


def test_a_full_disk_is_shown_and_alerts_still_go_out(
    story: Story, caplog: pytest.LogCaptureFixture
) -> None:
    out = publisher(story)
    story.failing = True
    out.emit("cam0", alert())
    out.emit("cam0", online())
    assert story.done == ["store", "send", "store", "send"]
    assert out.store_error == "the disk is full"
    assert len(caplog.records) == 1, "said once, not with each event"
    story.failing = False
    out.emit("cam0", online())
    assert out.store_error is None


def test_old_events_are_removed_after_sending_and_in_pieces(story: Story) -> None:
    clock = FakeClock()
    out = publisher(story, clock)
    story.left_to_prune = 2
    out.emit("cam0", online())
    assert "prune" not in story.done
    clock.now = PRUNE_SECONDS + 1
    out.emit("cam0", online())
    assert story.done[-2:] == ["send", "prune"]
    clock.now += 2.0
    out.emit("cam0", online())
    assert story.done.count("prune") == 2, "there was more to remove"
    clock.now += 2.0
    out.emit("cam0", online())
    assert story.done.count("prune") == 2
