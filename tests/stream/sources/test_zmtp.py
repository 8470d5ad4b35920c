"""Bounds on what a ZeroMQ sender may make us hold."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from egomon.stream.sources.zmtp import GREETING, MOST_PEERS, Peer, PullSocket, ZmtpError

MOST = 1 << 20


@pytest.fixture
def pull() -> Iterator[PullSocket]:
    found = PullSocket("127.0.0.1", 0, MOST)
    yield found
    found.close()


@pytest.fixture
def push(pull: PullSocket) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.PUSH) as sender:
        sender.setsockopt(zmq.LINGER, 0)
        sender.connect(f"tcp://127.0.0.1:{pull.port}")
        yield sender


def receive(pull: PullSocket, count: int) -> list[list[bytes]]:
    found: list[list[bytes]] = []
    for _ in range(400):
        if len(found) >= count:
            break
        found += pull.receive(0.05)
    return found


def test_messages_of_libzmq_come_whole_and_in_order(
    pull: PullSocket, push: zmq.Socket[bytes]
) -> None:
    sent = [[b"{}", bytes([n]) * size] for n, size in enumerate((0, 1, 255, 256, 70_000, 900_000))]
    for message in sent:
        push.send_multipart(message)
    assert receive(pull, len(sent)) == sent
    assert pull.refused == 0


def test_heartbeats_of_libzmq_are_answered(pull: PullSocket) -> None:
    with zmq.Context() as context, context.socket(zmq.PUSH) as sender:
        sender.setsockopt(zmq.LINGER, 0)
        sender.setsockopt(zmq.HEARTBEAT_IVL, 50)
        sender.setsockopt(zmq.HEARTBEAT_TIMEOUT, 200)
        sender.connect(f"tcp://127.0.0.1:{pull.port}")
        for _ in range(20):
            assert pull.receive(0.05) == []
        sender.send(b"still here")
        assert receive(pull, 1) == [[b"still here"]]
    assert len(pull._peers) == 1


def frame(body: bytes, flags: int = 0) -> bytes:
    return bytes([flags | 2]) + len(body).to_bytes(8, "big") + body


READY = bytes([4, 6]) + b"\x05READY"
HELLO = GREETING + READY


@pytest.mark.parametrize(
    "data",
    [
        HELLO + frame(bytes(600_000), 1) * 2,
        HELLO + frame(b"x", 1) * 9,
        HELLO + frame(b"", 1) * 9,
        HELLO + bytes([2]) + (1 << 40).to_bytes(8, "big"),
        HELLO + bytes([6]) + (1 << 40).to_bytes(8, "big"),
        GREETING + frame(b"x"),
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + bytes(64),
        GREETING.replace(b"NULL", b"PLAIN")[:64] + READY,
    ],
    ids=[
        "parts that add up", "many parts", "many empty parts", "one part of 1 TB",
        "a command of 1 TB", "no ready", "http", "another mechanism",
    ],
)  # fmt: skip
def test_a_sender_that_breaks_a_bound_is_sent_away_and_others_go_on(
    pull: PullSocket, push: zmq.Socket[bytes], data: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", pull.port)) as bad:
        bad.settimeout(10)
        bad.sendall(data[:100])
        rest, held = data[100:], 0
        while pull.refused == 0:
            piece, rest = rest[:60_000], rest[60_000:]
            bad.sendall(piece)
            assert pull.receive(0.05) == []
            held = max([held, *(len(peer._data) for peer in pull._peers.values())])
    assert held <= 2 * MOST
    push.send(b"good")
    assert receive(pull, 1) == [[b"good"]]
    assert pull.refused == 1


def test_a_crowd_of_silent_senders_does_not_keep_one_out(
    pull: PullSocket, push: zmq.Socket[bytes]
) -> None:
    silent = [socket.create_connection(("127.0.0.1", pull.port)) for _ in range(3 * MOST_PEERS)]
    for _ in range(20):
        pull.receive(0.01)
    push.send(b"good")
    assert receive(pull, 1) == [[b"good"]]
    assert len(pull._peers) <= MOST_PEERS
    for each in silent:
        each.close()


@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_bytes_are_messages_or_an_error(data: bytes, cut: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = Peer(ours, MOST)
        sent = HELLO + data
        try:
            for at in range(0, len(sent), cut):
                theirs.sendall(sent[at : at + cut])
                for message in peer.feed():
                    assert sum(map(len, message)) <= len(data)
        except ZmtpError:
            return
