from __future__ import annotations

from typing import Any

import msgspec
import pytest
from wire_station import alert, online, scores

from egomon.errors import WireError
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.types import AlertData, Data, SegmentData
from egomon.fusion.store.tables import StoredEvent
from egomon.fusion.transport.sequencer import Sequencer
from egomon.fusion.transport.subscriber_events import Event, Gap, PublisherRestarted, Stale
from egomon.fusion.transport.subscriber_state import Ask, EventGenerator, SubscriberState

SEGMENT = SegmentData(
    segment=alert().segment, p=0.1, stage="small", scores=scores(0.1), flagged=False
)


class Publisher:
    """Numbers messages and remembers all of them, as the store does."""

    def __init__(self, boot: str = "boot-1") -> None:
        self.sequencer = Sequencer(boot, "bench", lambda: 0)
        self.events: list[StoredEvent] = []

    def say(self, data: Data, source: str = "cam0") -> list[bytes]:
        event = self.sequencer.number(source, data)
        self.events.append(event)
        self.sequencer.sent(event, data)
        return [event.topic.encode(), event.envelope]

    def heartbeat(self, source: str = "cam0") -> list[bytes]:
        return self.say(self.sequencer.heartbeat(source), source)


class Reader:
    """Runs the steps; the answers come from `events`, and the questions are kept."""

    def __init__(self, *, snapshot: bool = False, kinds: tuple[str, ...] = ("alert",)) -> None:
        self.follower = SubscriberState(source=None, kinds=kinds, snapshot=snapshot, control=True)
        self.asked: list[Ask] = []
        self.answers: list[dict[str, Any] | None] = []

    def take(self, frames: list[bytes]) -> list[Event]:
        return self.run(self.follower.message(frames))

    def run(self, steps: EventGenerator) -> list[Event]:
        events: list[Event] = []
        answer: dict[str, Any] | None = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration:
                return events
            answer = None
            if isinstance(step, Ask):
                self.asked.append(step)
                answer = self.answers.pop(0) if self.answers else None
            else:
                events.append(step)


def page(events: list[StoredEvent], *, more: bool = False) -> dict[str, Any]:
    body = [{"topic": e.topic, "envelope": msgspec.json.decode(e.envelope)} for e in events]
    return {"boot": "boot-1", "events": body, "more": more}


def names(events: list[Event]) -> list[str]:
    return [
        event.data.alert_id
        for event in events
        if isinstance(event, Message) and isinstance(event.data, AlertData)
    ]


def test_a_message_that_comes_twice_is_passed_on_once() -> None:
    publisher, reader = Publisher(), Reader(kinds=("segment",))
    frames = publisher.say(SEGMENT)
    assert len(reader.take(frames)) == 1
    assert reader.take(frames) == []


def test_a_revision_that_is_announced_anew_is_passed_on_once() -> None:
    publisher, reader = Publisher(), Reader()
    assert len(reader.take(publisher.say(alert()))) == 1
    assert reader.take(publisher.say(alert())) == []
    assert len(reader.take(publisher.say(alert(rev=2, phase="update")))) == 1


def test_a_hole_is_asked_for_from_the_last_point_known_to_be_complete() -> None:
    publisher, reader = Publisher(), Reader()
    reader.take(publisher.say(alert("a-1")))
    for _ in range(5):
        publisher.say(SEGMENT)
    reader.take(publisher.heartbeat())
    assert publisher.sequencer.sent_seq == 7
    publisher.say(alert("a-2"))
    reader.answers = [page(publisher.events[7:8])]
    assert names(reader.take(publisher.say(alert("a-3")))) == ["a-2", "a-3"]
    fields = {"boot": "boot-1", "seq": 6, "prefix": "egomon/1/cam0/alert/"}
    assert reader.asked == [Ask("since", fields)]


def test_a_heartbeat_of_one_source_says_nothing_about_another() -> None:
    publisher, reader = Publisher(), Reader()
    reader.take(publisher.say(alert("a-1"), "cam1"))
    publisher.say(alert("a-2"), "cam1")
    reader.take(publisher.heartbeat("cam0"))
    reader.take(publisher.say(alert("a-3"), "cam1"))
    assert reader.asked[-1].fields["seq"] == 1


def test_the_snapshot_is_the_point_from_which_holes_are_asked_for() -> None:
    publisher, reader = Publisher(), Reader(snapshot=True)
    for i in range(4):
        publisher.say(alert(f"a-{i}"))
    found = publisher.sequencer.snapshot("egomon/1/")
    reader.answers = [{**page(found.events), "seq": found.seq, "tseq": found.tseq}]
    assert names(reader.run(reader.follower.start())) == ["a-0", "a-1", "a-2", "a-3"]
    publisher.say(alert("a-4"))
    assert reader.take(publisher.say(alert("a-5")))[0] == Gap(1, "egomon/1/cam0/alert/")
    assert reader.asked[-1].fields["seq"] == 4


def test_a_topic_that_begins_after_the_snapshot_is_complete_from_its_first_message() -> None:
    publisher, reader = Publisher(), Reader(snapshot=True)
    reader.answers = [{**page([]), "seq": 0, "tseq": {}}]
    reader.run(reader.follower.start())
    publisher.say(alert("a-1"))
    assert reader.take(publisher.say(alert("a-2")))[0] == Gap(1, "egomon/1/cam0/alert/")


def test_without_snapshot_a_restart_asks_only_for_what_came_after_the_first_message() -> None:
    old, new, reader = Publisher("boot-1"), Publisher("boot-2"), Reader()
    for _ in range(9):
        old.say(SEGMENT)
    reader.take(old.say(alert("a-1")))
    old.say(alert("a-2"))
    reader.answers = [page([*old.events[9:], *new.events])]
    events = reader.take(new.say(alert("a-3")))
    assert reader.asked == [
        Ask("since", {"boot": "boot-1", "seq": 9, "prefix": "egomon/1/"}, alive=True)
    ]
    assert names(events) == ["a-2", "a-3"]
    assert events[1] == PublisherRestarted("boot-2", complete=True)


def test_long_answers_are_read_page_by_page() -> None:
    publisher, reader = Publisher(), Reader()
    reader.take(publisher.say(alert("a-0")))
    for i in range(1, 6):
        publisher.say(alert(f"a-{i}"))
    reader.answers = [
        page(publisher.events[1:3], more=True),
        page(publisher.events[3:5], more=True),
        page(publisher.events[5:]),
    ]
    events = reader.take(publisher.say(alert("a-6")))
    assert names(events) == [f"a-{i}" for i in range(1, 7)]
    assert [ask.fields["seq"] for ask in reader.asked] == [1, 3, 5]


def test_events_that_are_not_understood_count_as_lost() -> None:
    publisher, reader = Publisher(), Reader()
    reader.take(publisher.say(alert("a-1")))
    publisher.say(alert("a-2"))
    answer = page(publisher.events[1:])
    answer["events"][0]["envelope"]["data"]["phase"] = "paused"
    reader.answers = [answer]
    events = reader.take(publisher.say(alert("a-3")))
    assert events[0] == Gap(1, "egomon/1/cam0/alert/")
    assert reader.follower.malformed == 1


def test_remembered_alerts_are_bounded() -> None:
    publisher, reader = Publisher(), Reader()
    for i in range(5000):
        reader.take(publisher.say(alert(f"a-{i}")))
    assert len(reader.follower._revs) == 4096


@pytest.mark.parametrize("name", ["egomon/2/cam0/alert/", "egomon/1/cam0/alert", "x", "egomon/1/"])
def test_topics_of_others_are_left_alone(name: str) -> None:
    publisher, reader = Publisher(), Reader()
    assert reader.take([name.encode(), publisher.say(alert())[1]]) == []


def test_statuses_can_be_followed_too_and_unknown_kinds_are_refused() -> None:
    publisher, reader = Publisher(), Reader(kinds=("status", "heartbeat"))
    assert [
        event.kind
        for frames in (publisher.say(online()), publisher.say(alert()), publisher.heartbeat())
        for event in reader.take(frames)
        if isinstance(event, Message)
    ] == ["status", "heartbeat"]
    with pytest.raises(WireError, match="unknown kind 'alarm'"):
        Reader(kinds=("alarm",))


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (Gap(3, "egomon/1/cam0/alert/"), "3 alert messages of cam0 were lost"),
        (Stale(3.4), "nothing was heard from the monitor for 3 s; is it running"),
        (Stale(3.4, refused=True), "the monitor refuses this key; give the folder"),
        (PublisherRestarted("boot-2", complete=True), "the monitor was started anew"),
        (PublisherRestarted("b", complete=False), "anew; messages from before may be missing"),
    ],
)
def test_what_a_person_may_read_is_a_sentence(event: object, sentence: str) -> None:
    assert sentence in str(event)
    assert "(" not in str(event)
