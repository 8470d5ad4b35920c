from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import zmq
from wire_station import MakeStation, Station, alert

from egomon.errors import ConfigError
from egomon.fusion.messages.message import Message
from egomon.fusion.transport.keys import CurveConfig, keygen
from egomon.fusion.transport.sockets import Context
from egomon.fusion.transport.subscriber import AlertSubscriber
from egomon.fusion.transport.subscriber_events import Stale


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    keygen(tmp_path / "keys")
    return tmp_path / "keys"


def secured(station: MakeStation, keys: Path, **options: object) -> Station:
    return station(curve=CurveConfig.server(keys), **options)


def subscribe(to: Station, context: Context, curve: CurveConfig | None) -> AlertSubscriber:
    return AlertSubscriber(
        to.bus.endpoints[0], control=None, context=context, curve=curve, stale_after_seconds=0.2
    )


def test_secret_keys_are_readable_by_the_owner_only(keys: Path) -> None:
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in keys.iterdir() if path.is_file()
    }
    assert modes == {
        "client.key": 0o644,
        "client.key_secret": 0o600,
        "server.key": 0o644,
        "server.key_secret": 0o600,
    }
    assert b"secret-key" not in (keys / "clients" / "client.key").read_bytes()


def test_secret_keys_are_never_readable_by_others_even_for_a_moment(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keygen(tmp_path / "keys")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) & 0o077 == 0


def test_a_secret_key_that_others_can_read_is_told(
    keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
    CurveConfig.client(keys)
    assert caplog.messages == []
    (keys / "client.key_secret").chmod(0o644)
    CurveConfig.client(keys)
    assert "client.key_secret can be read by others; chmod 600 it" in caplog.text


def test_keys_are_not_overwritten(keys: Path) -> None:
    with pytest.raises(ConfigError, match="already holds keys"):
        keygen(keys)


def test_the_secret_is_not_in_the_repr(keys: Path) -> None:
    config = CurveConfig.client(keys)
    assert config.secret_key.decode() not in repr(config)


def test_a_missing_key_or_an_empty_allow_list_is_named(keys: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the CURVE key .*server\.key_secret"):
        CurveConfig.server(tmp_path)
    (keys / "clients" / "client.key").unlink()
    with pytest.raises(ConfigError, match="no client may connect"):
        CurveConfig.server(keys)
    (keys / "client.key_secret").write_text((keys / "client.key").read_text())
    with pytest.raises(ConfigError, match="holds no secret key"):
        CurveConfig.client(keys)
    (keys / "server.key_secret").write_text("rubbish")
    with pytest.raises(ConfigError, match="cannot read the CURVE key"):
        CurveConfig.server(keys)


def test_the_right_key_gets_alerts_and_may_ask(
    station: MakeStation, keys: Path, term_context: Context
) -> None:
    publisher = secured(station, keys)
    curve = CurveConfig.client(keys)
    with subscribe(publisher, term_context, curve) as subscriber:
        publisher.serve_until(lambda: publisher.bus.subscriptions == 1)
        publisher.emit(alert("a-1"))
        assert isinstance(subscriber.receive(2), Message)
    dealer = term_context.socket(zmq.DEALER)
    curve.apply(dealer)
    assert publisher.bus.control_endpoint is not None
    with dealer.connect(publisher.bus.control_endpoint):
        dealer.send(b'{"verb":"hello"}')
        publisher.serve_until(lambda: publisher.bus.requests == 1)
        assert b'"ok":true' in dealer.recv()
    dealer.close()
    assert publisher.bus.auth_failures == 0


def test_an_unknown_client_key_gets_nothing_and_both_sides_know(
    station: MakeStation,
    keys: Path,
    tmp_path: Path,
    term_context: Context,
    caplog: pytest.LogCaptureFixture,
) -> None:
    publisher = secured(station, keys)
    keygen(tmp_path / "other")
    stranger = CurveConfig.client(tmp_path / "other")
    theirs = CurveConfig(
        stranger.public_key, stranger.secret_key, server_key=CurveConfig.client(keys).server_key
    )
    with subscribe(publisher, term_context, theirs) as subscriber:
        publisher.serve_until(lambda: publisher.bus.auth_failures > 0)
        publisher.emit(alert("a-1"))
        assert subscriber._monitor.poll(3000)
        event = subscriber.receive(2)
        assert isinstance(event, Stale)
        assert event.refused
        assert subscriber.receive(0.1) is None
    assert publisher.bus.subscriptions == 0
    assert "refused during its handshake: HANDSHAKE_FAILED_AUTH" in caplog.text


@pytest.mark.parametrize("case", ["no key", "wrong server key"])
def test_without_the_right_keys_nothing_arrives(
    station: MakeStation,
    keys: Path,
    tmp_path: Path,
    term_context: Context,
    case: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    publisher = secured(station, keys)
    keygen(tmp_path / "other")
    curve = None if case == "no key" else CurveConfig.client(tmp_path / "other")
    with subscribe(publisher, term_context, curve) as subscriber:
        publisher.serve_until(lambda: publisher.bus.auth_failures > 0)
        publisher.emit(alert("a-1"))
        assert isinstance(subscriber.receive(1), Stale)
        assert subscriber.receive(0.1) is None
    assert publisher.bus.subscriptions == 0


def test_with_keys_any_address_may_be_bound(station: MakeStation, keys: Path) -> None:
    publisher = secured(station, keys, publish="tcp://0.0.0.0:*", control="tcp://0.0.0.0:*")
    assert publisher.bus.endpoints[0].startswith("tcp://0.0.0.0:")
