"""The MQTT sink against a real broker."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

pytest.importorskip("paho.mqtt.client", reason="the extra `sinks` is not installed")

import mosquitto
from mosquitto import SECONDS, Broker, number_of, subscribed
from paho.mqtt.client import MQTTMessage

import egomon
from egomon.errors import DeliveryError, UsageError
from egomon.fusion.messages.envelope import encode
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.types import GapData
from egomon.fusion.sinks.home_assistant import discovery
from egomon.fusion.sinks.mqtt import MqttSink
from egomon.fusion.sinks.open import make_sink
from egomon.fusion.sinks.sink import SinkContext
from egomon.fusion.sinks.worker import SinkWorker
from egomon.fusion.transport.sequencer import Sequencer
from egomon.testing import check_sink, sample_messages
from egomon.testing.messages import JPEG

needs_broker = pytest.mark.skipif(
    mosquitto.PROGRAM is None, reason="no program mosquitto: apt-get install mosquitto"
)
CONTEXT = SinkContext(("cam0",), "test", "bench.1", bundle="work")
AGAIN = 16
MONITOR = b'{"version":"%s","bundle":"work","boot":"test","sources":["cam0"]}' % (
    egomon.__version__.encode()
)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    made.start()
    yield made
    made.kill()


@needs_broker
def test_the_mqtt_sink_keeps_the_contract(broker: Broker) -> None:
    check_sink(lambda: make_sink(f"{broker.url}/egomon"))


@needs_broker
def test_messages_go_out_as_on_the_wire_with_their_picture_and_number(broker: Broker) -> None:
    sink = make_sink(f"{broker.url}/home/work")
    sink.open(CONTEXT)
    alert, segment, status, _, gap = sample_messages()
    with subscribed(broker, "home/#") as got:
        for message in (alert, segment, status, gap):
            sink.send(message)
        sink.close()
        found = [got.get(timeout=SECONDS) for _ in range(8)]
    at = "home/work/bench.1/cam0/"
    assert [(m.topic.removeprefix(at), m.payload, number_of(m), m.qos) for m in found] == [
        ("availability", b"online", None, 1),
        ("monitor", MONITOR, None, 1),
        ("picture", JPEG, "test:1", 1),
        ("alert", encode(alert.envelope), "test:1", 1),
        ("segment", encode(segment.envelope), "test:2", 1),
        ("status", encode(status.envelope), "test:3", 1),
        ("gap", encode(gap.envelope), "test:5", 1),
        ("availability", b"offline", None, 1),
    ]
    with subscribed(broker, "home/#") as late:
        retained = {late.get(timeout=SECONDS).topic.removeprefix(at) for _ in range(6)}
    assert retained == {"availability", "monitor", "picture", "alert", "segment", "status"}


@needs_broker
def test_a_wrong_password_is_a_fault_that_does_not_tell_it_and_the_right_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = Broker(tmp_path, password="hunter2")
    broker.start()
    try:
        sink = make_sink(broker.url.replace("://", "://me:hunter3@"))
        sink.open(CONTEXT)
        with pytest.raises(DeliveryError, match="refuses the connection: ") as caught:
            sink.send(sample_messages()[0])
        sink.close()
        assert "hunter" not in str(caught.value)
        monkeypatch.setenv("EGOMON_MQTT_USERNAME", "me")
        secret = tmp_path / "secret"
        secret.write_text("hunter2\n")
        sink = make_sink(f"{broker.url}#password_file={secret}")
        sink.open(CONTEXT)
        sink.send(sample_messages()[0])
        sink.close()
    finally:
        broker.kill()


@needs_broker
def test_discovery_is_retained_and_can_be_left_out(broker: Broker) -> None:
    for reference in (broker.url, f"{broker.url}/off#discovery=none"):
        sink = make_sink(reference)
        sink.open(SinkContext(("cam0", "cam1"), "test", "bench.1", bundle="work"))
        sink.send(sample_messages()[1])
        sink.close()
    with subscribed(broker, "homeassistant/#") as got:
        found = [got.get(timeout=SECONDS) for _ in range(2)]
        assert got.empty()
    assert [m.topic for m in found] == [
        f"homeassistant/device/egomon_bench_1_cam{n}/config" for n in (0, 1)
    ]
    assert all(m.retain for m in found)


# Names from the pages of the integrations mqtt, binary_sensor.mqtt, camera.mqtt and sensor.mqtt.
ENTITY = {"platform", "unique_id", "name"}
JSON = {"json_attributes_topic", "json_attributes_template"}
DOCUMENTED = {
    "binary_sensor": (
        {"state_topic"},
        {"device_class", "value_template", "payload_on", "payload_off", *JSON},
    ),
    "camera": ({"topic"}, {"image_encoding", *JSON}),
    "sensor": ({"state_topic"}, {"device_class", "options", "value_template", *JSON}),
}


def test_the_discovery_payload_follows_the_documented_schema() -> None:
    name, payload = discovery("bench.1", "cam0", "egomon/bench.1/cam0/", "a/b")
    assert name == "egomon_bench_1_cam0"
    body = json.loads(payload)
    assert body.keys() == {"device", "origin", "components", "availability_topic", "qos"}
    assert body["device"].keys() <= {"identifiers", "name", "manufacturer", "model", "sw_version"}
    assert body["device"]["identifiers"] == [name]
    assert body["origin"]["name"] == "egomon"
    components = body["components"]
    assert {key: each["platform"] for key, each in components.items()} == {
        "mistake": "binary_sensor",
        "picture": "camera",
        "step": "sensor",
        "state": "sensor",
    }
    for each in components.values():
        needed, allowed = DOCUMENTED[each["platform"]]
        assert needed | ENTITY <= each.keys() <= needed | ENTITY | allowed
    assert len({each["unique_id"] for each in components.values()}) == len(components)
    # An enum has options and nothing else may; see the page of the sensor.
    assert components["state"]["device_class"] == "enum"
    assert "online" in components["state"]["options"]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("mqtt://", "it names no host"),
        ("mqtt://host/a+b", "no topic may hold"),
        ("mqtt://host/a//b", "no topic may hold"),
        ("mqtt://host#qos=2", "unknown option 'qos'"),
        ("mqtts://host:0x1/", "not an address"),
        ("mqtts://host#ca_file=/no/such/file", "ca_file is no file"),
    ],
)
def test_an_odd_address_is_refused(reference: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_sink(reference)


@needs_broker
def test_a_broker_that_is_away_at_start_and_killed_three_times_gets_a_thousand_messages_once(
    tmp_path: Path,
) -> None:
    broker = Broker(tmp_path)
    got: list[str | None] = []
    faults: list[str | None] = []
    open_now: list[tuple[AbstractContextManager[object], queue.SimpleQueue[MQTTMessage]]] = []

    def start() -> None:
        broker.start()
        manager = subscribed(broker, "egomon/+/+/gap")
        open_now.append((manager, manager.__enter__()))

    class Killing(MqttSink):
        def send(self, message: Message) -> None:
            super().send(message)
            wanted = f"test:{message.envelope.seq}"
            while not got or got[-1] != wanted:  # after a kill the last ones come again
                number = number_of(open_now[-1][1].get(timeout=SECONDS))
                if number not in got[-AGAIN:]:
                    got.append(number)
            if message.envelope.seq in (1, 250, 999):
                broker.kill()
                open_now.pop()[0].__exit__(None, None, None)

    def pause(seconds: float) -> bool:
        """The broker is back, with a subscriber, when the message is offered again."""
        faults.append(worker.fault)
        start()
        return False

    sequencer = Sequencer("test", "host", lambda: 0)
    gaps = [GapData(cause="staleness", count=number) for number in range(1000)]
    sink = Killing(f"{broker.url}/egomon")
    worker = SinkWorker("the sink 'mqtt'", sink, CONTEXT, pause=pause)
    worker.open()
    for gap in gaps:
        worker.put(sequencer.number("cam0", gap), gap, ())
    worker.finish()
    worker.join(60.0)
    assert got == [f"test:{number}" for number in range(1, 1001)]
    assert open_now.pop()[1].empty()
    broker.kill()
    assert len(faults) == 4
    assert faults[0] is not None
    assert f"is away ({broker.url} cannot be reached: " in faults[0]
    assert (worker.lost, worker.fault) == (0, None)
