"""A recorded session reaches subscribers as the monitor's own messages did."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec
import pytest
import zmq

from egomon.errors import DataError
from egomon.fusion.messages.envelope import isoformat
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.session_file import SessionWriter
from egomon.fusion.messages.types import DATA_TYPES, AlertData, HeartbeatData, Phase, StatusData
from egomon.fusion.store.events import EventStore, StoredEvent
from egomon.fusion.transport.control_client import ControlClient
from egomon.fusion.transport.subscriber import AlertSubscriber
from egomon.monitor.playback import READER_SECONDS, Playback, open_session
from egomon.testing import sample_messages
from egomon.units import NS_PER_SECOND


class Clock:
    """Time passes only while somebody sleeps; the sleeps are kept."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def playback(clock: Clock, *, speed: float = 1.0, control: str | None = None) -> Playback:
    return Playback(
        ["tcp://127.0.0.1:*"],
        control,
        boot="again",
        host="here",
        speed=speed,
        clock=clock,
        sleep=clock.sleep,
    )


def at(message: Message, seconds: float) -> Message:
    time = isoformat(int((1_700_000_000 + seconds) * NS_PER_SECOND))
    return replace(message, envelope=msgspec.structs.replace(message.envelope, time=time))


def test_a_subscriber_gets_what_was_recorded_with_new_numbers_and_old_times() -> None:
    recorded = sample_messages()
    clock = Clock()
    with playback(clock, speed=0.0) as player:
        reader = AlertSubscriber(
            player.bus.endpoints[0], control=None, kinds=("alert", "segment", "status", "gap")
        )
        with reader:
            real = zmq.Poller()
            real.register(player.bus.sockets_to_poll[0][0], zmq.POLLIN)
            assert real.poll(5000), "the subscription has arrived"
            count = player.run(recorded)
            wanted = [m for m in recorded if m.kind in ("alert", "segment", "status", "gap")]
            found: list[Message] = []
            while len(found) < len(wanted):
                event = reader.receive(5.0)
                assert event is not None, "a message is missing"
                if isinstance(event, Message):
                    found.append(event)
    assert count == len([m for m in recorded if not isinstance(m.data, HeartbeatData)])
    assert [(m.topic, m.data, m.attachments) for m in found] == [
        (m.topic, m.data, m.attachments) for m in wanted
    ]
    assert [m.envelope.time for m in found] == [m.envelope.time for m in wanted]
    assert {m.envelope.boot for m in found} == {"again"}
    assert clock.now < READER_SECONDS, "it did not wait once somebody was there"


@pytest.mark.parametrize(("speed", "seconds"), [(1.0, 90.0), (10.0, 9.0), (0.0, 0.0)])
def test_it_takes_the_recorded_time_divided_by_the_speed(speed: float, seconds: float) -> None:
    first, second, *_ = sample_messages()
    clock = Clock()
    with playback(clock, speed=speed) as player:
        player.run([at(first, 0.0), at(second, 90.0)])
    assert clock.now - READER_SECONDS == pytest.approx(seconds, abs=0.06)


def test_requests_are_answered_from_what_was_played() -> None:
    alert, *others = sample_messages()
    assert isinstance(alert.data, AlertData)
    with playback(Clock(), speed=0.0, control="tcp://127.0.0.1:*") as player:
        player.run([alert, *others])
        endpoint = player.bus.control_endpoint
        assert endpoint is not None
        with zmq.Context() as context, closing(ControlClient(endpoint, context=context)) as client:
            assert client.request("alert.get", alert_id=alert.data.alert_id)["alert"]
            assert client.request("ack", alert_id=alert.data.alert_id, by="me")["ok"]
            since = client.request("since", boot="again", seq=0)["events"]
            assert since[0]["topic"] == alert.topic


def test_a_store_is_a_session_of_its_last_run(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    messages = [m for m in sample_messages() if m.kind in ("alert", "status", "segment", "gap")]
    with EventStore(path) as store:
        for boot in ("old", "test"):
            store.begin(boot=boot, sources=("cam0",), started_wall_ns=1)
            store.append([stored(m, boot) for m in messages])
    assert [m.data for m in open_session(path)] == [m.data for m in messages]
    assert {m.envelope.boot for m in open_session(path)} == {"test"}


def stored(message: Message, boot: str) -> StoredEvent:
    envelope = msgspec.structs.replace(message.envelope, boot=boot)
    body = msgspec.json.encode(envelope)
    return StoredEvent(boot, envelope.seq, envelope.tseq, message.topic, message.kind, 1, body)


def test_a_file_that_is_no_session_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text("{}\n")
    with pytest.raises(DataError, match=r"notes\.jsonl, line 1: not an egomon envelope"):
        list(open_session(path))
    with pytest.raises(DataError, match=r"nothing\.jsonl cannot be read"):
        list(open_session(tmp_path / "nothing.jsonl"))


def test_a_message_without_a_date_ends_the_playback_with_a_sentence(tmp_path: Path) -> None:
    message = sample_messages()[0]
    broken = replace(message, envelope=msgspec.structs.replace(message.envelope, time="noon"))
    path = tmp_path / "session.jsonl"
    with SessionWriter(path) as writer:
        writer.write(broken)
    with playback(Clock(), speed=0.0) as player, pytest.raises(DataError, match="no ISO 8601"):
        player.run(open_session(path))


def test_the_session_beside_the_examples_has_every_phase_and_state() -> None:
    path = Path(__file__).parents[2] / "examples" / "session.jsonl"
    messages = list(open_session(path))
    phases = {m.data.phase for m in messages if isinstance(m.data, AlertData)}
    states = {m.data.source_state for m in messages if isinstance(m.data, StatusData)}
    domains = {m.data.domain for m in messages if isinstance(m.data, StatusData)}
    assert phases == set(get_args(Phase))
    assert states == set(get_args(get_type_hints(StatusData)["source_state"]))
    assert domains == set(get_args(get_type_hints(StatusData)["domain"]))
    assert {m.kind for m in messages} == set(DATA_TYPES) - {"heartbeat"}
    begin, end = (datetime.fromisoformat(messages[i].envelope.time) for i in (0, -1))
    assert 550 < (end - begin).total_seconds() < 700
    assert all(m.attachments for m in messages if m.envelope.type == "egomon.alert.new")
