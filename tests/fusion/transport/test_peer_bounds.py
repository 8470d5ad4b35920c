"""A peer that sends more than it may is cut off: libzmq itself bounds no message as a whole."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
import zmq
from wire_station import MakeStation, Station

from egomon.fusion.transport.peer_bounds import WATCHES, PeerBounds
from egomon.fusion.transport.server import MOST_BYTES_TO_EVENTS, MOST_BYTES_UNANSWERED
from egomon.fusion.transport.sockets import Context

pytestmark = pytest.mark.skipif(not WATCHES, reason="only Linux counts the bytes of a connection")

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
MORE = 1


@contextlib.contextmanager
def raw_peer(endpoint: str | None, kind: bytes) -> Iterator[socket.socket]:
    """A ZMTP client that may break every rule after its handshake."""
    assert endpoint is not None
    port = int(endpoint.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10.0) as peer:
        peer.sendall(GREETING)
        heard = b""
        while len(heard) < len(GREETING):
            heard += peer.recv(1000)
        ready = b"\x05READY\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind
        peer.sendall(bytes([4, len(ready)]) + ready)
        yield peer


def part(nbytes: int, flags: int = MORE) -> bytes:
    return bytes([flags, nbytes]) + bytes(nbytes)


def is_cut(station: Station, peer: socket.socket, nbytes: int) -> bool:
    """Send so many bytes of one unfinished message; True once the server has hung up."""
    station.serve_until(lambda: bool(station.bus.bounds._peers))
    for _ in range(2):  # the first look may still see the handshake, which is an answer
        station.bus.bounds.look()
        with contextlib.suppress(OSError):
            for _ in range(nbytes // 202):
                peer.sendall(part(200))
    station.bus.bounds.look()
    peer.settimeout(0.5)
    try:
        while peer.recv(1000):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def test_a_message_without_end_to_the_request_socket_is_cut(
    station: MakeStation, term_context: Context
) -> None:
    publisher = station()
    with raw_peer(publisher.bus.control_endpoint, b"DEALER") as peer:
        assert is_cut(publisher, peer, MOST_BYTES_UNANSWERED + 100_000)
    assert publisher.bus.bounds.cut == 1
    publisher.serve()
    assert publisher.bus.requests == 0
    with term_context.socket(zmq.DEALER) as other:
        other.linger, other.rcvtimeo = 0, 5000
        other.connect(publisher.bus.control_endpoint)
        other.send(b'{"verb":"stats"}')
        publisher.serve_until(lambda: publisher.bus.requests == 1)
        assert b'"ok":true' in other.recv()


@pytest.mark.parametrize("flags", [MORE, 0])
def test_who_keeps_sending_to_the_event_socket_is_cut(station: MakeStation, flags: int) -> None:
    publisher = station()
    with raw_peer(publisher.bus.endpoints[0], b"SUB") as peer:
        assert is_cut(publisher, peer, MOST_BYTES_TO_EVENTS + 100_000)
    assert publisher.bus.bounds.cut == 1


def test_a_message_that_is_only_slow_is_not_cut(station: MakeStation) -> None:
    publisher = station()
    with raw_peer(publisher.bus.control_endpoint, b"DEALER") as peer:
        assert not is_cut(publisher, peer, MOST_BYTES_UNANSWERED // 3)
    assert publisher.bus.bounds.cut == 0


def test_who_gets_answers_may_ask_for_ever(station: MakeStation, term_context: Context) -> None:
    publisher = station()
    body = b'{"verb":"stats","note":"' + b"x" * 50_000 + b'"}'
    count = 2 * MOST_BYTES_UNANSWERED // len(body)
    with term_context.socket(zmq.DEALER) as client:
        client.linger, client.rcvtimeo = 0, 5000
        client.connect(publisher.bus.control_endpoint)
        for number in range(1, count + 1):
            client.send(body)
            publisher.serve_until(lambda n=number: publisher.bus.requests == n)
            assert client.recv()
            publisher.bus.bounds.look()
    assert publisher.bus.bounds.cut == 0


def test_a_number_that_is_somebody_elses_by_now_is_left_alone() -> None:
    with closing(PeerBounds()) as bounds, socket.create_server(("127.0.0.1", 0)) as home:
        first = socket.create_connection(home.getsockname())
        theirs = home.accept()[0]
        fd = theirs.fileno()
        bounds.accepted(fd, 10, answered=False)
        second = socket.create_connection(home.getsockname())
        again = home.accept()[0]
        os.dup2(again.fileno(), fd)  # the descriptor is closed and given to another connection
        second.sendall(bytes(1000))
        assert again.recv(10)
        bounds.look()
        assert bounds.cut == 0
        for each in (first, second, again, theirs):
            each.close()
