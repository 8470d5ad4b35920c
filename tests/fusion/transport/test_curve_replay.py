"""Who may ask for something over CURVE, and what recorded bytes of such a request are good for."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Self

import pytest
import zmq
from wire_station import MakeStation, Station, alert

from egomon.fusion.transport.keys import CurveConfig, keygen
from egomon.fusion.transport.sockets import Context, Socket
from egomon.fusion.transport.subscriber import AlertSubscriber
from egomon.fusion.transport.subscriber_events import Stale

REQUESTS = (
    b'{"id":1,"verb":"reset-context","source":"cam0"}',
    b'{"id":2,"verb":"mute","seconds":60}',
    b'{"id":3,"verb":"stop"}',
)
DONE = ["reset cam0", "mute 60", "stop"]


class Tap:
    """A TCP proxy in front of an endpoint, for one connection; can say again what it has heard."""

    def __init__(self, endpoint: str | None) -> None:
        assert endpoint is not None
        self._target = ("127.0.0.1", int(endpoint.rpartition(":")[2]))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self.asked: list[tuple[int, bytes]] = []
        """Bytes that were answered before, and what was said then."""
        self.answered = bytearray()
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(10)

    def say_again(self) -> None:
        """The last that was said, on the same connection."""
        self._sockets[1].sendall(self.asked[-1][1])

    def call_again(self, asked: list[tuple[int, bytes]]) -> threading.Thread:
        """All of it, on a connection of its own; the thread ends when that is over."""
        call = threading.Thread(target=self._call, args=(asked,))
        call.start()
        return call

    def _call(self, asked: list[tuple[int, bytes]]) -> None:
        answered = 0
        with socket.create_connection(self._target, 10) as server:
            for after, piece in asked:
                while answered < after:
                    heard = server.recv(1 << 16)
                    if not heard:
                        return
                    answered += len(heard)
                server.sendall(piece)
            server.shutdown(socket.SHUT_WR)
            while server.recv(1 << 16):
                pass

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed before anybody came
            client, _ = self._listener.accept()
            server = socket.create_connection(self._target, 10)
            self._sockets += [client, server]
            self._threads.append(threading.Thread(target=self._bring_back))
            self._threads[-1].start()
            while piece := client.recv(1 << 16):
                self.asked.append((len(self.answered), piece))
                server.sendall(piece)

    def _bring_back(self) -> None:
        client, server = self._sockets
        with contextlib.suppress(OSError):
            while piece := server.recv(1 << 16):
                self.answered += piece
                client.sendall(piece)


class Machine:
    """`Operations` that note what was done, and `reset_context`."""

    def __init__(self, station: Station) -> None:
        self.done: list[str] = []
        station.control.operations = self
        station.control._reset_context = self.reset

    def reset(self, source: str) -> bool:
        self.done.append(f"reset {source}")
        return True

    def picture(self, source: str) -> bytes | None:
        return None

    def mute(self, seconds: float) -> bool:
        self.done.append(f"mute {seconds:g}")
        return True

    def model(self, model: str) -> bool:
        return False

    def stop(self) -> bool:
        self.done.append("stop")
        return True


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    keygen(tmp_path / "keys")
    return tmp_path / "keys"


@contextlib.contextmanager
def dealer(context: Context, endpoint: str, curve: CurveConfig | None) -> Iterator[Socket]:
    with closing(context.socket(zmq.DEALER)) as client:
        client.linger = 0
        if curve is not None:
            curve.apply(client)
        client.connect(endpoint)
        yield client


def ask(station: Station, client: Socket) -> None:
    """Send every request, one after the other."""
    for number, request in enumerate(REQUESTS, 1):
        client.send(request)
        station.serve_until(lambda number=number: station.bus.requests == number)
        assert client.poll(5000)
        assert b'"ok":true' in client.recv()


def test_recorded_requests_do_nothing_on_another_connection(
    station: MakeStation, keys: Path, term_context: Context
) -> None:
    publisher = station(curve=CurveConfig.server(keys))
    machine = Machine(publisher)
    with (
        Tap(publisher.bus.control_endpoint) as tap,
        dealer(term_context, tap.endpoint, CurveConfig.client(keys)) as client,
    ):
        ask(publisher, client)
        for _ in range(3):
            call = tap.call_again(tap.asked)
            publisher.serve_until(lambda call=call: not call.is_alive())
    assert (machine.done, publisher.bus.requests) == (DONE, len(REQUESTS))
    assert publisher.bus.auth_failures == 3


def test_recorded_requests_do_nothing_at_the_next_start_of_the_monitor(
    station: MakeStation, keys: Path, term_context: Context
) -> None:
    first = station(curve=CurveConfig.server(keys))
    Machine(first)
    with (
        Tap(first.bus.control_endpoint) as tap,
        dealer(term_context, tap.endpoint, CurveConfig.client(keys)) as client,
    ):
        ask(first, client)
    first.close()
    second = station("boot-2", curve=CurveConfig.server(keys), path=None)
    machine = Machine(second)
    with Tap(second.bus.control_endpoint) as other:
        call = other.call_again(tap.asked)
        second.serve_until(lambda: not call.is_alive())
    assert (machine.done, second.bus.requests) == ([], 0)
    assert second.bus.auth_failures == 1


def test_a_recorded_request_does_nothing_on_its_own_connection(
    station: MakeStation, keys: Path, term_context: Context
) -> None:
    publisher = station(curve=CurveConfig.server(keys))
    machine = Machine(publisher)
    with (
        Tap(publisher.bus.control_endpoint) as tap,
        dealer(term_context, tap.endpoint, CurveConfig.client(keys)) as client,
    ):
        ask(publisher, client)
        tap.say_again()
        # Its number was used before: from now on this connection is not read.
        publisher.serve_until(lambda: publisher.bus.auth_failures == 1)
        publisher.serve()
    assert (machine.done, publisher.bus.requests) == (DONE, len(REQUESTS))


def test_without_keys_the_same_bytes_are_obeyed_again(
    station: MakeStation, term_context: Context
) -> None:
    publisher = station()
    machine = Machine(publisher)
    with (
        Tap(publisher.bus.control_endpoint) as tap,
        dealer(term_context, tap.endpoint, None) as client,
    ):
        ask(publisher, client)
        tap.say_again()
        publisher.serve_until(lambda: len(machine.done) == 4)
        call = tap.call_again(tap.asked)
        publisher.serve_until(lambda: len(machine.done) == 7)
        publisher.serve_until(lambda: not call.is_alive())
    assert machine.done == [*DONE, "stop", *DONE]


@pytest.mark.parametrize("case", ["off the list", "no key", "wrong server key"])
def test_nobody_off_the_list_may_ask_for_anything(
    station: MakeStation, keys: Path, tmp_path: Path, term_context: Context, case: str
) -> None:
    publisher = station(curve=CurveConfig.server(keys))
    machine = Machine(publisher)
    keygen(tmp_path / "other")
    other = CurveConfig.client(tmp_path / "other")
    server_key = CurveConfig.client(keys).server_key
    curve = {
        "off the list": CurveConfig(other.public_key, other.secret_key, server_key=server_key),
        "no key": None,
        "wrong server key": other,
    }[case]
    assert publisher.bus.control_endpoint is not None
    with dealer(term_context, publisher.bus.control_endpoint, curve) as client:
        for request in REQUESTS:
            client.send(request)
        publisher.serve_until(lambda: publisher.bus.auth_failures > 0)
        publisher.serve()
        assert not client.poll(100)
    assert (machine.done, publisher.bus.requests) == ([], 0)


def test_recorded_alerts_are_not_heard_again(
    station: MakeStation, keys: Path, term_context: Context
) -> None:
    publisher = station(curve=CurveConfig.server(keys))
    curve = CurveConfig.client(keys)
    with Tap(publisher.bus.endpoints[0]) as tap:
        with AlertSubscriber(
            tap.endpoint, control=None, context=term_context, curve=curve
        ) as subscriber:
            publisher.serve_until(lambda: publisher.bus.subscriptions == 1)
            publisher.emit(alert("a-1"))
            assert subscriber.receive(5) is not None
        said = bytes(tap.answered)
    with (
        socket.create_server(("127.0.0.1", 0)) as liar,
        AlertSubscriber(
            f"tcp://127.0.0.1:{liar.getsockname()[1]}",
            control=None,
            context=term_context,
            curve=curve,
            stale_after_seconds=0.2,
        ) as subscriber,
    ):
        client, _ = liar.accept()
        with client:
            client.settimeout(10)
            client.sendall(said)
            with contextlib.suppress(ConnectionError):
                while client.recv(1 << 16):  # until it hangs up
                    pass
        assert isinstance(subscriber.receive(5), Stale)
        assert subscriber.receive(0) is None
