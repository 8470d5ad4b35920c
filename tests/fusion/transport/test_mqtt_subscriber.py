"""Many monitors, one broker: each message once, losses told, credentials never."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from mosquitto import PROGRAM, Broker
from tls import needs_openssl, self_signed

from egomon.errors import ConfigError, UsageError, WireError
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.types import GapData
from egomon.fusion.sinks.mqtt import MqttSink
from egomon.fusion.sinks.sink import SinkContext
from egomon.fusion.sinks.worker import SinkWorker
from egomon.fusion.transport.mqtt_numbers import TopicNumbers
from egomon.fusion.transport.mqtt_subscriber import (
    MqttEvent,
    MqttSubscriber,
    Presence,
    SiteMessage,
)
from egomon.fusion.transport.sequencer import Sequencer
from egomon.fusion.transport.subscriber_events import Gap, Stale
from egomon.testing import sample_messages

needs_broker = pytest.mark.skipif(PROGRAM is None, reason="no program mosquitto")
SECONDS = 20.0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    made.start()
    yield made
    made.kill()


def until(subscriber: MqttSubscriber, count: int, seconds: float = SECONDS) -> list[MqttEvent]:
    """So many events, or fewer when the time is over."""
    found: list[MqttEvent] = []
    deadline = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < deadline:
        event = subscriber.receive(0.5)
        if event is not None and not isinstance(event, Stale):
            found.append(event)
    return found


def test_numbers_tell_new_ones_from_redeliveries_and_holes() -> None:
    numbers = TopicNumbers()
    assert [numbers.meet("a", "b1", n) for n in (7, 8, 8, 7, 11, 12)] == [0, 0, None, None, 2, 0]
    assert numbers.meet("other", "b1", 3) == 0
    assert [numbers.meet("a", "b2", n) for n in (1, 2)] == [0, 0]
    assert numbers.meet("a", "b1", 13) is None  # was on its way when the monitor started anew
    assert numbers.meet("a", "b3", 4) == 3


@needs_broker
def test_alerts_of_all_sites_come_with_their_site_and_old_ones_do_not_come_twice(
    broker: Broker,
) -> None:
    alert = sample_messages()[0]
    with MqttSubscriber(broker.url, presence=True) as subscriber:
        assert subscriber.receive(0.0) is None
        for site in ("north", "south"):
            sink = MqttSink(broker.url)
            sink.open(SinkContext(("cam0",), "test", site, bundle="work"))
            for _ in range(2):  # the second as after a lost acknowledgement
                sink.send(alert)
            sink.close()
        found = until(subscriber, 8)
        messages = [event for event in found if isinstance(event, SiteMessage)]
        assert [(m.site, m.source, m.data) for m in messages] == [
            (site, "cam0", alert.data) for site in ("north", "south")
        ]
        said = [e for e in found if isinstance(e, Presence) and e.site == "north"]
    assert [e.kind for e in said] == ["availability", "monitor", "availability"]
    assert [said[0].payload, said[2].payload] == [b"online", b"offline"]
    assert b'"bundle":"work"' in said[1].payload


@needs_broker
def test_a_hole_in_the_numbers_is_told(broker: Broker) -> None:
    sequencer = Sequencer("test", "host", lambda: 0)
    sink = MqttSink(f"{broker.url}#discovery=none")
    sink.open(SinkContext(("cam0",), "test", "north"))
    with MqttSubscriber(broker.url, kinds=("gap",)) as subscriber:
        events = [sequencer.number("cam0", GapData(cause="x", count=n)) for n in range(5)]
        for event in (events[0], events[4]):
            sink.send(_message(event))
        found = until(subscriber, 3)
    sink.close()
    assert [type(event) for event in found] == [SiteMessage, Gap, SiteMessage]
    assert str(found[1]) == "3 gap messages of cam0 were lost"


def _message(event: object) -> Message:
    from egomon.fusion.messages.envelope import decode_data, decode_envelope
    from egomon.fusion.store.tables import StoredEvent

    assert isinstance(event, StoredEvent)
    envelope = decode_envelope(event.envelope)
    return Message(event.topic, envelope, decode_data(event.kind, envelope.data))


@needs_broker
def test_strangers_on_the_broker_are_left_out(broker: Broker) -> None:
    from paho.mqtt.publish import multiple

    strange = [
        ("egomon/a/b/alert", b"\xff{"),
        ("egomon/a/b/alert", b'{"specversion":"1.0"}'),
        ("egomon/x", b"1"),
        ("egomon/a/b/picture", b"\xff\xd8"),
        ("egomon/\xe9/b/alert", b"[" * 5000),
    ]
    with MqttSubscriber(broker.url) as subscriber:
        assert subscriber.receive(0.5) is None
        multiple(strange, port=broker.port)
        sink = MqttSink(broker.url)
        sink.open(SinkContext(("cam0",), "test", "north"))
        sink.send(sample_messages()[0])
        sink.close()
        (found,) = until(subscriber, 1)
        assert isinstance(found, SiteMessage)
        assert subscriber.malformed == 3


@needs_broker
def test_a_refused_user_is_told_without_the_password(tmp_path: Path) -> None:
    broker = Broker(tmp_path, password="hunter2")
    broker.start()
    try:
        with (
            MqttSubscriber(broker.url.replace("://", "://me:hunter3@")) as subscriber,
            pytest.raises(ConfigError, match="refuses the connection: ") as caught,
        ):
            subscriber.receive(SECONDS)
        assert "hunter" not in str(caught.value)
        with MqttSubscriber(broker.url.replace("://", "://me:hunter2@")) as subscriber:
            assert subscriber.receive(0.5) is None
    finally:
        broker.kill()


def test_a_broker_that_is_away_is_told_once() -> None:
    now = 0.0
    with MqttSubscriber("mqtt://127.0.0.1:9", clock=lambda: now) as subscriber:
        now = 4.0
        event = subscriber.receive(0.0)
        assert isinstance(event, Stale)
        assert "mqtt://127.0.0.1:9 is away since" in str(event)
        assert subscriber.receive(0.0) is None


@pytest.mark.parametrize(
    ("reference", "options", "error", "message"),
    [
        ("mqtt://", {}, UsageError, "the address mqtt: not an address"),
        ("mqtt://host#qos=1", {}, UsageError, "unknown option 'qos'"),
        ("mqtt://host", {"topics": ("a/#/b",)}, UsageError, "is no filter of topics"),
        ("mqtt://host", {"topics": ("a+/b",)}, UsageError, "is no filter of topics"),
        ("mqtt://host", {"kinds": ("alarm",)}, WireError, "unknown kind 'alarm'"),
        ("mqtts://host#ca_file=/none", {}, ConfigError, "ca_file is no file"),
    ],
)
def test_bad_input_is_one_sentence(
    reference: str, options: dict[str, tuple[str, ...]], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        MqttSubscriber(reference, **options)  # type: ignore[arg-type]


@needs_broker
@needs_openssl
def test_tls_is_checked_against_the_given_certificates(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    broker = Broker(tmp_path, tls=(certificate, key))
    broker.start()
    url = broker.url.replace("mqtt", "mqtts", 1)
    try:
        with MqttSubscriber(f"{url}#ca_file={certificate}") as subscriber:
            sink = MqttSink(f"{url}#ca_file={certificate}")
            sink.open(SinkContext(("cam0",), "test", "north"))
            sink.send(sample_messages()[0])
            sink.close()
            (found,) = until(subscriber, 1)
            assert isinstance(found, SiteMessage)
    finally:
        broker.kill()


@needs_broker
def test_a_broker_killed_during_the_alerts_of_20_monitors_loses_none_and_doubles_none(
    tmp_path: Path,
) -> None:
    monitors, each = 20, 10
    broker = Broker(tmp_path, keeps=True)
    broker.start()
    workers = [_monitor(broker, number) for number in range(monitors)]
    gaps = [GapData(cause="staleness", count=number) for number in range(each)]
    sequencers = [Sequencer(f"boot{n}", "host", lambda: 0) for n in range(monitors)]
    got: list[tuple[str, int]] = []
    with MqttSubscriber(broker.url, kinds=("gap",), name="reader") as subscriber:
        assert subscriber.receive(1.0) is None
        for half in (gaps[: each // 2], gaps[each // 2 :]):
            for gap in half:
                for worker, sequencer in zip(workers, sequencers, strict=True):
                    worker.put(sequencer.number("cam0", gap), gap, ())
            got += _numbers(until(subscriber, monitors * each // 8))
            broker.kill()
            broker.start()
        for worker in workers:
            worker.finish()
        got += _numbers(until(subscriber, monitors * each - len(got), 60.0))
        for worker in workers:
            worker.join(SECONDS)
        got += _numbers(until(subscriber, 1, 0.5))
    broker.kill()
    wanted = {(f"site{m}", n) for m in range(monitors) for n in range(each)}
    assert Counter(got) == Counter(wanted)
    assert [worker.lost for worker in workers] == [0] * monitors


def _monitor(broker: Broker, number: int) -> SinkWorker:
    context = SinkContext(("cam0",), f"boot{number}", f"site{number}", bundle="work")
    worker = SinkWorker("the sink 'mqtt'", MqttSink(f"{broker.url}#discovery=none"), context)
    worker.open()
    return worker


def _numbers(events: list[MqttEvent]) -> list[tuple[str, int]]:
    found = []
    for event in events:
        assert isinstance(event, SiteMessage), event
        assert isinstance(event.data, GapData)
        found.append((event.site, event.data.count))
    return found
