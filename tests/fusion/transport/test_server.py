from __future__ import annotations

import contextlib
import json
import os
import random
import socket as posix
import stat
import threading
from pathlib import Path

import pytest
import zmq
from wire_station import MakeStation, Station, alert, online

from egomon.errors import AddressInUseError, ConfigError
from egomon.fusion.messages.envelope import decode_envelope
from egomon.fusion.transport.server import UNREAD_ANSWERS, EventServer
from egomon.fusion.transport.sockets import (
    MAX_MESSAGE_BYTES,
    Context,
    check_bind,
    is_local,
    open_socket,
)


def subscriber_to(context: Context, endpoint: str, *, hwm: int = 1000) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.SUB)
    socket.rcvhwm = hwm
    socket.linger = 0
    socket.subscribe("egomon/1/")
    socket.connect(endpoint)
    return socket


def dealer_to(context: Context, endpoint: str | None) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.rcvtimeo = 5000
    assert endpoint is not None
    socket.connect(endpoint)
    return socket


def test_a_message_is_topic_envelope_and_attachments(
    station: MakeStation, term_context: Context
) -> None:
    publisher = station()
    with subscriber_to(term_context, publisher.bus.endpoints[0]) as reader:
        publisher.serve_until(lambda: publisher.bus.subscriptions == 1)
        event = publisher.bus.publish("cam0", alert(), [b"jpeg", b""])
        frames = reader.recv_multipart()
    assert frames == [b"egomon/1/cam0/alert/", event.envelope, b"jpeg", b""]
    assert decode_envelope(frames[1]).seq == event.seq == 1


def test_subscriptions_and_their_ends_are_counted(
    station: MakeStation, term_context: Context
) -> None:
    publisher = station()
    readers = [subscriber_to(term_context, publisher.bus.endpoints[0]) for _ in range(3)]
    publisher.serve_until(lambda: publisher.bus.subscriptions == 3)
    for reader in readers:
        reader.close()
    publisher.serve_until(lambda: publisher.bus.subscriptions == 0)


def test_a_stalled_reader_never_stops_the_publisher(
    station: MakeStation, term_context: Context
) -> None:
    publisher = station(control=None)
    with (
        subscriber_to(term_context, publisher.bus.endpoints[0], hwm=10) as stalled,
        subscriber_to(term_context, publisher.bus.endpoints[0]) as quick,
    ):
        publisher.serve_until(lambda: publisher.bus.subscriptions == 2)
        picture = bytes(20_000)
        for i in range(1_600):  # 1000 queued, about 300 in the kernel, the rest dropped
            publisher.bus.publish("cam0", alert(f"a-{i}"), [picture])  # or waits for ever
            quick.recv_multipart()
        assert stalled.recv_multipart()[0] == b"egomon/1/cam0/alert/"


def test_zmtp_heartbeats_stay_off_since_they_abort_the_process(term_context: Context) -> None:
    """A reader behind its high-water mark for 6 s ended with it in libzmq 4.3.5."""
    with open_socket(term_context, zmq.SUB, max_bytes=1) as socket:
        assert socket.heartbeat_ivl == 0
        assert socket.tcp_keepalive == 1
        assert socket.linger == 500


def test_closing_does_not_wait_for_unread_messages_to_be_read() -> None:
    bus = EventServer(["tcp://127.0.0.1:*"], None, host="bench", boot="boot-1")
    context: Context = zmq.Context()
    with subscriber_to(context, bus.endpoints[0], hwm=1) as stalled:
        while bus.subscriptions == 0:
            bus.sockets_to_poll[0][0].poll(1000)
            bus._note_subscriptions()
        for _ in range(3_000):
            bus.publish("cam0", alert(), [bytes(10_000)])
        closing = threading.Thread(target=bus.close)
        closing.start()
        closing.join(30)
        assert not closing.is_alive()
        assert not stalled.closed
    context.term()
    bus.close()


def test_messages_sent_just_before_closing_arrive(term_context: Context) -> None:
    bus = EventServer(["tcp://127.0.0.1:*"], None, host="bench", boot="boot-1")
    with subscriber_to(term_context, bus.endpoints[0]) as reader:
        while bus.subscriptions == 0:
            bus.sockets_to_poll[0][0].poll(1000)
            bus._note_subscriptions()
        for rev in range(50):
            bus.publish("cam0", alert(rev=rev))
        bus.close()
        reader.rcvtimeo = 2000
        assert [decode_envelope(reader.recv_multipart()[1]).seq for _ in range(50)] == list(
            range(1, 51)
        )


def test_an_address_in_use_is_named_with_its_option(station: MakeStation) -> None:
    publisher = station()
    taken, control = publisher.bus.endpoints[0], publisher.bus.control_endpoint
    with pytest.raises(AddressInUseError, match=f"{taken} is in use .* with --pub"):
        EventServer([taken], None, host="bench", boot="b")
    with pytest.raises(AddressInUseError, match=f"{control} is in use .* with --control"):
        EventServer(["tcp://127.0.0.1:*"], control, host="bench", boot="b")
    with posix.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(AddressInUseError):
            EventServer([f"tcp://127.0.0.1:{other.getsockname()[1]}"], None, host="bench", boot="b")


def test_an_ipc_socket_lets_no_other_user_in_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with EventServer([f"ipc://{tmp_path}/a"], f"ipc://{tmp_path}/b", host="h", boot="b"):
            modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"}
    finally:
        os.umask(before)
    assert modes == {0o770}


def test_the_ipc_path_of_a_living_monitor_is_not_taken_but_a_stale_one_is(
    station: MakeStation, tmp_path: Path, term_context: Context
) -> None:
    endpoint = f"ipc://{tmp_path}/run/alerts"
    first = station(publish=endpoint, control=None)
    assert first.bus.endpoints == (endpoint,)
    assert (tmp_path / "run").stat().st_mode & 0o077 == 0
    with pytest.raises(AddressInUseError, match="alerts is in use"):
        EventServer([endpoint], None, host="bench", boot="b")
    with posix.socket(posix.AF_UNIX) as dead:
        dead.bind(f"{tmp_path}/run/stale")
    bus = EventServer([f"ipc://{tmp_path}/run/stale", endpoint + "2"], None, host="bench", boot="b")
    assert len(bus.endpoints) == 2
    bus.close()


@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        ("tcp://0.0.0.0:5556", "open to the network without keys"),
        ("tcp://*:5556", "open to the network without keys"),
        ("tcp://eth0:5556", "open to the network without keys"),
        ("tcp://[::]:5556", "open to the network without keys"),
        ("tcp://192.168.1.5:5556", "open to the network without keys"),
        ("5556", "is no endpoint"),
        ("udp://127.0.0.1:5556", "is no endpoint"),
        ("tcp://", "is no endpoint"),
        ("ipc:///" + "x" * 120, "at most 107 bytes"),
        ("tcp://127.0.0.1:99999", "no port between"),
        ("tcp://127.0.0.1", "no port between"),
        ("tcp://192.0.2.1:5556", "without keys"),
    ],
)
def test_an_endpoint_that_must_not_be_bound_is_refused(endpoint: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        EventServer([endpoint], None, host="bench", boot="b")


def test_insecure_bind_is_obeyed_and_ipv6_loopback_is_local() -> None:
    check_bind("tcp://0.0.0.0:5556", option="--pub", secured=True)
    assert is_local("tcp://[::1]:5556")
    assert is_local("tcp://127.3.2.1:5556")
    assert is_local("tcp://localhost:5556")
    bus = EventServer(["tcp://0.0.0.0:*"], None, host="bench", boot="b", insecure_bind=True)
    assert bus.endpoints[0].startswith("tcp://0.0.0.0:")
    bus.close()


def test_a_picture_that_no_reader_would_take_is_left_empty(
    station: MakeStation, term_context: Context
) -> None:
    publisher = station()
    with subscriber_to(term_context, publisher.bus.endpoints[0]) as reader:
        publisher.serve_until(lambda: publisher.bus.subscriptions == 1)
        publisher.bus.publish("cam0", alert(), [bytes(MAX_MESSAGE_BYTES + 1), b"jpeg"])
        assert reader.recv_multipart()[2:] == [b"", b"jpeg"]
    assert publisher.bus.send_failed == 1


def test_req_and_dealer_sockets_are_both_answered(
    station: MakeStation, term_context: Context
) -> None:
    publisher = station()
    publisher.emit(online())
    endpoint = publisher.bus.control_endpoint
    with dealer_to(term_context, endpoint) as dealer, term_context.socket(zmq.REQ) as req:
        assert endpoint is not None
        req.linger = 0
        req.connect(endpoint)
        for socket in (dealer, req):
            socket.send(b'{"id":"q","verb":"snapshot"}')
        publisher.serve_until(lambda: publisher.bus.requests == 2)
        for socket in (dealer, req):
            reply = json.loads(socket.recv())
            assert (reply["id"], reply["ok"], len(reply["events"])) == ("q", True, 1)
    assert publisher.bus.bad_requests == 0


def test_a_flood_of_requests_is_served_in_slices(
    station: MakeStation, term_context: Context
) -> None:
    publisher = station(control="inproc://flood")  # delivers at once
    with dealer_to(term_context, publisher.bus.control_endpoint) as dealer:
        for _ in range(150):
            dealer.send(b'{"verb":"hello"}')
        assert [publisher.serve() for _ in range(4)] == [64, 64, 22, 0]


def test_a_peer_that_leaves_or_never_reads_its_answers_does_no_harm(
    station: MakeStation, term_context: Context
) -> None:
    publisher = station()
    gone = dealer_to(term_context, publisher.bus.control_endpoint)
    gone.send(b'{"verb":"hello"}')
    gone.poll(50)
    gone.close()
    with dealer_to(term_context, publisher.bus.control_endpoint) as deaf:
        deaf.sndtimeo = 20
        for _ in range(3_000):
            with contextlib.suppress(zmq.Again):
                deaf.send(b'{"verb":"hello"}')
            publisher.serve()
    with dealer_to(term_context, publisher.bus.control_endpoint) as fresh:
        before = publisher.bus.requests
        fresh.send(b'{"verb":"hello","id":7}')
        publisher.serve_until(lambda: publisher.bus.requests > before)
        publisher.serve_until(lambda: bool(fresh.poll(0)))
        assert json.loads(fresh.recv())["ok"]


def is_answered(publisher: Station, context: Context) -> bool:
    with dealer_to(context, publisher.bus.control_endpoint) as dealer:
        dealer.send(b'{"verb":"hello","id":8}')
        publisher.serve_until(lambda: bool(dealer.poll(0)))
        return bool(json.loads(dealer.recv())["id"] == 8)


def test_a_stranger_on_the_port_does_no_harm(station: MakeStation, term_context: Context) -> None:
    publisher = station()
    for endpoint in (publisher.bus.endpoints[0], publisher.bus.control_endpoint):
        assert endpoint is not None
        with posix.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2]))) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n" + random.Random(0).randbytes(500))
            publisher.serve()
    assert is_answered(publisher, term_context)


def test_a_request_that_is_too_big_is_not_even_read(
    station: MakeStation, term_context: Context
) -> None:
    publisher = station()
    with dealer_to(term_context, publisher.bus.control_endpoint) as dealer:
        with dealer.get_monitor_socket(zmq.EVENT_DISCONNECTED) as monitor:
            dealer.send(bytes(100_000))
            cut = monitor.poll(3000)
            dealer.disable_monitor()
        assert cut
    assert is_answered(publisher, term_context)
    assert publisher.bus.bad_requests == 0


def test_a_peer_that_reads_no_answers_keeps_a_bounded_number_of_them(
    station: MakeStation, term_context: Context
) -> None:
    """An answer has 512 kB at most; those of 1,000 requests once filled a gigabyte."""
    publisher = station(control="inproc://unread")  # no kernel buffers between
    for number in range(500):
        publisher.emit(alert(f"a-{number}"))
    deaf: zmq.Socket[bytes] = term_context.socket(zmq.DEALER)
    with deaf:
        deaf.linger, deaf.rcvhwm = 0, 1
        deaf.connect("inproc://unread")
        for _ in range(100):
            deaf.send(b'{"verb":"since","seq":0}')
            publisher.serve()
        assert publisher.bus.requests == 100
        answers = 0
        while deaf.poll(0):
            deaf.recv()
            answers += 1
    assert answers == UNREAD_ANSWERS + 1


def test_a_subscription_longer_than_any_topic_is_not_kept(
    station: MakeStation, term_context: Context
) -> None:
    publisher = station(control=None)
    with term_context.socket(zmq.SUB) as reader:
        reader.linger = 0
        reader.connect(publisher.bus.endpoints[0])
        with reader.get_monitor_socket(zmq.EVENT_DISCONNECTED) as monitor:
            reader.subscribe(b"x" * 60_000)
            cut = monitor.poll(3000)
            reader.disable_monitor()
        publisher.serve()
    assert cut
    assert publisher.bus.subscriptions == 0


def test_thousands_of_odd_messages_are_survived(
    station: MakeStation, term_context: Context
) -> None:
    publisher = station()
    dice = random.Random(0)
    fragments = (b'{"verb":"', b"hello", b"since", b'"', b"}", b"[", b":", b"\xff", b"9" * 40, b"")
    with dealer_to(term_context, publisher.bus.control_endpoint) as dealer:
        for _ in range(90):
            before, sent = publisher.bus.requests, UNREAD_ANSWERS
            for _ in range(sent):
                frames = [b"".join(dice.choices(fragments, k=dice.randint(0, 9)))]
                frames *= dice.choice((1, 1, 1, 2, 3, 20))
                dealer.send_multipart(frames)
            publisher.serve_until(lambda n=before + sent: publisher.bus.requests == n)
            for _ in range(sent):
                assert set(json.loads(dealer.recv_multipart()[-1])) >= {"id", "ok"}
    assert publisher.bus.bad_requests > 2500


def test_the_poll_list_wakes_the_owner(station: MakeStation, term_context: Context) -> None:
    publisher = station()
    poller = zmq.Poller()
    for socket, flags in publisher.bus.sockets_to_poll:
        poller.register(socket, flags)
    poller.register(publisher.bus.request_socket, zmq.POLLIN)
    assert poller.poll(0) == []
    with dealer_to(term_context, publisher.bus.control_endpoint) as dealer:
        threading.Timer(0.05, dealer.send, [b'{"verb":"hello"}']).start()
        assert poller.poll(3000)
        publisher.serve_until(lambda: publisher.bus.requests == 1)
        dealer.recv()
