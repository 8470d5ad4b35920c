"""`egomon fleet` and `egomon listen mqtt://`: many monitors on one broker."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from mosquitto import PROGRAM, Broker

from egomon.cli.app import app
from egomon.errors import ConfigError, UsageError
from egomon.fusion.messages.types import AlertData, StatusData
from egomon.fusion.sinks.mqtt import MqttSink
from egomon.fusion.sinks.sink import SinkContext
from egomon.fusion.transport.fleet import Fleet
from egomon.fusion.transport.mqtt_subscriber import Presence, SiteMessage
from egomon.testing import sample_messages

NOW = datetime.fromisoformat(sample_messages()[0].envelope.time)
needs_broker = pytest.mark.skipif(PROGRAM is None, reason="no program mosquitto")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    made.start()
    yield made
    made.kill()


def of(site: str, kind: str, **changes: object) -> SiteMessage:
    message = next(m for m in sample_messages() if m.kind == kind)
    data = msgspec.structs.replace(message.data, **changes)
    return SiteMessage(message.topic, message.envelope, data, site=site)


def test_rows_show_state_open_alerts_version_and_bundle() -> None:
    fleet = Fleet()
    said = b'{"version":"0.1.0","bundle":"work","boot":"b","sources":["cam0","cam1"]}'
    fleet.add(Presence("north", "cam0", "monitor", said))
    fleet.add(of("north", "status", source_state="online", mode="small-only", degraded=True))
    fleet.add(of("north", "alert", phase="new", model="work@0123abcd"))
    first, second = fleet.rows(NOW)
    assert (first.site, first.source, first.state) == ("north", "cam0", "online")
    assert (first.mode, first.degraded, first.open_alerts) == ("small-only", True, 1)
    assert (first.version, first.bundle, first.boot) == ("0.1.0", "work@0123abcd", "b")
    assert first.heard == of("north", "status").envelope.time
    assert (second.source, second.state, second.bundle) == ("cam1", "unknown", "work")
    fleet.add(of("north", "alert", phase="end"))
    assert fleet.rows(NOW)[0].open_alerts == 0


def test_a_monitor_that_the_broker_lost_is_offline_with_all_its_sources() -> None:
    fleet = Fleet()
    said = b'{"sources":["cam0","cam1"]}'
    fleet.add(Presence("north", "cam0", "monitor", said))
    fleet.add(of("north", "status", source_state="online"))
    fleet.add(Presence("north", "cam0", "availability", b"offline"))
    assert [row.state for row in fleet.rows(NOW)] == ["offline", "offline"]
    fleet.add(Presence("north", "cam0", "availability", b"online"))
    assert [row.state for row in fleet.rows(NOW)] == ["online", "unknown"]
    fleet.add(Presence("north", "cam0", "monitor", b"\xff[[["))
    assert len(fleet.rows(NOW)) == 2


def test_a_monitor_that_says_nothing_for_a_minute_is_silent() -> None:
    fleet = Fleet()
    fleet.add(of("north", "status", source_state="online"))
    heard = datetime.fromisoformat(of("north", "status").envelope.time)
    states = [fleet.rows(heard + timedelta(seconds=s))[0].state for s in (59, 61)]
    assert states == ["online", "silent"]
    fleet.add(of("north", "status", source_state="ended"))
    assert fleet.rows(heard + timedelta(days=1))[0].state == "ended"


@needs_broker
def test_the_command_prints_a_row_for_each_source_as_table_and_as_json(broker: Broker) -> None:
    for site in ("south", "north"):
        sink = MqttSink(broker.url)
        sink.open(SinkContext(("cam0",), "test", site, bundle="work"))
        for message in sample_messages()[:3]:
            sink.send(message)
    run = CliRunner().invoke(app, ["fleet", broker.url, "--json", "--duration", "1s"])
    rows = json.loads(run.output)
    assert [(r["site"], r["source"], r["bundle"]) for r in rows] == [
        (site, "cam0", _alert().model) for site in ("north", "south")
    ]
    run = CliRunner().invoke(app, ["fleet", broker.url, "--duration", "1s"])
    lines = run.output.splitlines()
    assert lines[0].split() == ["site", "source", "state", "heard", "open", "version", "bundle"]
    assert [line.split()[0] for line in lines[1:]] == ["north", "south"]


def _alert() -> AlertData:
    data = sample_messages()[0].data
    assert isinstance(data, AlertData)
    return data


def test_bad_addresses_are_refused() -> None:
    for arguments, error, text in (
        (["fleet", "tcp://host:1"], UsageError, "write egomon fleet mqtt://HOST"),
        (["fleet", "mqtt://127.0.0.1:9", "--duration", "200ms"], ConfigError, "cannot be reached"),
        (["fleet", "mqtt://host", "--watch", "--json"], UsageError, "--watch is for people"),
        (["listen", "tcp://127.0.0.1:1", "--topic", "a"], UsageError, "write listen mqtt://"),
    ):
        run = CliRunner().invoke(app, arguments)
        assert isinstance(run.exception, error)
        assert text in str(run.exception)


@needs_broker
def test_listen_prints_the_site_before_the_source(broker: Broker) -> None:
    sink = MqttSink(broker.url)
    sink.open(SinkContext(("cam0",), "test", "north", bundle="work"))
    sender = threading.Thread(target=lambda: sink.send(sample_messages()[0]))
    sender.start()  # retained: it is there whoever comes first
    arguments = ["listen", broker.url, "--topic", "egomon/north/#", "-n", "1"]
    run = CliRunner().invoke(app, [*arguments, "--duration", "20s"])
    sender.join()
    assert run.output.startswith("north/cam0 ")
    assert StatusData.__name__ not in run.output
