from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator

import pytest
import zmq

from egomon.errors import ControlError
from egomon.fusion.transport.control_client import ControlClient
from egomon.fusion.transport.sockets import Context, Socket


@pytest.fixture
def router(term_context: Context) -> Iterator[Socket]:
    with term_context.socket(zmq.ROUTER) as socket:
        socket.linger = 0
        socket.rcvtimeo = 3000
        socket.bind("inproc://monitor")
        yield socket


@pytest.fixture
def client(router: Socket, term_context: Context) -> Iterator[ControlClient]:
    made = ControlClient("inproc://monitor", context=term_context, timeout_seconds=0.1)
    yield made
    made.close()


def answering(router: Socket, answers: Callable[[int], list[bytes]]) -> threading.Thread:
    """Answer one request, in a thread, with what `answers` makes of its id."""

    def work() -> None:
        peer, body = router.recv_multipart()
        for answer in answers(json.loads(body)["id"]):
            router.send_multipart([peer, answer])

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_an_answer_to_another_request_and_rubbish_are_skipped(
    router: Socket, client: ControlClient
) -> None:
    def answers(number: int) -> list[bytes]:
        late = {"id": number - 1, "ok": True, "stats": "old"}
        right = {"id": number, "ok": True, "stats": "new"}
        rubbish = [b"", b"\xff", b"[" * 9000, b"[]"]
        return [json.dumps(late).encode(), *rubbish, json.dumps(right).encode()]

    client.timeout_seconds = 3.0
    thread = answering(router, answers)
    assert client.request("stats")["stats"] == "new"
    thread.join()


def test_a_refusal_carries_its_code(router: Socket, client: ControlClient) -> None:
    def answers(number: int) -> list[bytes]:
        error = {"code": "not_found", "message": "no such alert"}
        return [json.dumps({"id": number, "ok": False, "error": error}).encode()]

    client.timeout_seconds = 3.0
    thread = answering(router, answers)
    with pytest.raises(ControlError, match="no such alert") as caught:
        client.request("ack", alert_id="a-1")
    assert caught.value.code == "not_found"
    assert not client.is_silent
    thread.join()


def test_a_new_socket_is_used_after_a_time_out(router: Socket, client: ControlClient) -> None:
    first = client.socket
    with pytest.raises(ControlError, match=r"no answer from inproc://monitor within 0\.1 s"):
        client.request("stats")
    assert first.closed
    assert client.socket is not first
    assert client.is_silent


def test_a_monitor_that_never_was_there_does_not_block_the_sender(term_context: Context) -> None:
    client = ControlClient(
        "tcp://127.0.0.1:9", context=term_context, timeout_seconds=0.01, clock=lambda: 0.0
    )
    for _ in range(1500):  # beyond the high-water mark
        client.send("stats", {})
    client.close()
