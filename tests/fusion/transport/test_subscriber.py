from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
import zmq
from wire_station import Listener, MakeStation, Station, alert, online, scores

from egomon.errors import ControlError, WireError
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.types import AlertData, SegmentData
from egomon.fusion.transport.sockets import Context
from egomon.fusion.transport.subscriber import AlertSubscriber
from egomon.fusion.transport.subscriber_events import Gap, PublisherRestarted, Stale

Listen = Callable[..., Listener]


def revisions(listener: Listener) -> list[tuple[str, int]]:
    return [
        (event.data.alert_id, event.data.rev)
        for event in listener.events
        if isinstance(event, Message) and isinstance(event.data, AlertData)
    ]


def gaps(listener: Listener) -> int:
    return sum(event.n for event in listener.events if isinstance(event, Gap))


def segment() -> SegmentData:
    return SegmentData(
        segment=alert().segment, p=0.1, stage="small", scores=scores(0.1), flagged=False
    )


def test_a_late_joiner_gets_open_alerts_once_and_misses_nothing(
    station: MakeStation, listen: Listen
) -> None:
    publisher = station()
    publisher.emit(online())
    publisher.emit(alert("a-closed"))
    publisher.emit(alert("a-closed", 2, "end"))
    publisher.emit(alert("a-open"))
    publisher.emit(alert("a-open", 2, "update"))
    listener = listen(publisher)
    publisher.serve_until(lambda: len(listener.events) >= 1)
    publisher.emit(alert("a-open", 3, "end"))
    publisher.emit(alert("a-later"))
    publisher.serve_until(lambda: len(revisions(listener)) >= 3)
    assert revisions(listener) == [("a-open", 2), ("a-open", 3), ("a-later", 1)]
    assert gaps(listener) == 0


def test_messages_sent_while_the_snapshot_is_on_its_way_come_once(
    station: MakeStation, listen: Listen
) -> None:
    publisher = station()
    publisher.emit(alert("a-1"))
    listener = listen(publisher)
    publisher.emit(alert("a-2"))
    publisher.emit(alert("a-2", 2, "update"))
    publisher.serve_until(lambda: len(revisions(listener)) >= 2)
    publisher.emit(alert("a-3"))
    publisher.serve_until(lambda: ("a-3", 1) in revisions(listener))
    assert len(set(revisions(listener))) == len(revisions(listener))
    assert {("a-1", 1), ("a-2", 2), ("a-3", 1)} <= set(revisions(listener))
    assert gaps(listener) == 0


def test_a_hole_is_filled_from_the_store(station: MakeStation, listen: Listen) -> None:
    publisher = station()
    listener = listen(publisher)
    publisher.emit(alert("a-1"))
    publisher.serve_until(lambda: len(revisions(listener)) == 1)
    for i in range(2, 6):
        publisher.emit(alert(f"a-{i}"), send=False)
    publisher.emit(alert("a-6"))
    publisher.serve_until(lambda: len(revisions(listener)) == 6)
    assert revisions(listener) == [(f"a-{i}", 1) for i in range(1, 7)]
    assert gaps(listener) == 0


def test_a_heartbeat_shows_a_loss_before_silence(station: MakeStation, listen: Listen) -> None:
    publisher = station()
    listener = listen(publisher)
    publisher.emit(alert("a-1"))
    publisher.serve_until(lambda: len(revisions(listener)) == 1)
    publisher.emit(alert("a-2"), send=False)
    publisher.bus.heartbeat("cam0")
    publisher.serve_until(lambda: len(revisions(listener)) == 2)
    assert gaps(listener) == 0


def test_what_cannot_be_recovered_is_reported_with_its_number(
    station: MakeStation, listen: Listen
) -> None:
    publisher = station()
    listener = listen(publisher, control=None)
    publisher.emit(alert("a-1"))
    publisher.serve_until(lambda: len(revisions(listener)) == 1)
    for i in range(2, 5):
        publisher.emit(alert(f"a-{i}"), send=False)
    publisher.emit(alert("a-5"))
    publisher.serve_until(lambda: len(revisions(listener)) == 2)
    assert listener.events[1] == Gap(3, "egomon/1/cam0/alert/")


def test_a_partly_stored_hole_reports_the_rest(station: MakeStation, listen: Listen) -> None:
    publisher = station()
    listener = listen(publisher)
    publisher.emit(alert("a-1"))
    publisher.serve_until(lambda: len(revisions(listener)) == 1)
    publisher.bus.prepare("cam0", alert("a-2"))  # neither stored nor sent
    publisher.emit(alert("a-3"), send=False)
    publisher.emit(alert("a-4"))
    publisher.serve_until(lambda: len(revisions(listener)) == 3)
    assert [type(event).__name__ for event in listener.events] == [
        "Message",
        "Gap",
        "Message",
        "Message",
    ]
    assert gaps(listener) == 1


def test_overflow_of_a_reader_that_sleeps_shows_as_a_gap_of_the_right_size(
    station: MakeStation, term_context: Context
) -> None:
    publisher = station(control=None)
    total = 4_000
    with AlertSubscriber(
        publisher.bus.endpoints[0], control=None, kinds=("segment",), context=term_context
    ) as sleeper:
        publisher.serve_until(lambda: publisher.bus.subscriptions == 1)
        for _ in range(total):
            publisher.bus.publish("cam0", segment(), [bytes(20_000)])  # fills the kernel's buffers
        received = lost = 0
        while (event := sleeper.receive(0.3)) is not None:
            received += isinstance(event, Message)
            lost += event.n if isinstance(event, Gap) else 0
        publisher.bus.heartbeat("cam0")  # the tail of the overflow shows here
        while (event := sleeper.receive(0.3)) is not None:
            received += isinstance(event, Message)
            lost += event.n if isinstance(event, Gap) else 0
    assert lost > 0
    assert received + lost == total


def test_a_reader_too_slow_for_a_burst_gets_all_of_it_from_the_store(
    station: MakeStation, term_context: Context
) -> None:
    publisher, over, total = station(), threading.Event(), 3_000

    def answer() -> None:
        assert publisher.bus.request_socket is not None
        while not over.is_set():
            publisher.bus.request_socket.poll(20)
            publisher.bus.serve_requests(publisher.control)

    answering = threading.Thread(target=answer)
    answering.start()
    control = publisher.bus.control_endpoint
    with AlertSubscriber(
        publisher.bus.endpoints[0], control=control, context=term_context
    ) as sleeper:
        assert sleeper.receive(0.0) is None
        poller = zmq.Poller()
        for socket, flags in publisher.bus.sockets_to_poll:
            poller.register(socket, flags)
        while publisher.bus.subscriptions == 0:
            assert poller.poll(5_000)
            publisher.bus.serve()
        for n in range(total):
            prepared = publisher.bus.prepare("cam0", alert(f"a-{n}"))
            publisher.store.append([prepared.event])
            publisher.bus.send(prepared, [bytes(20_000)])  # fills the kernel's buffers
        events = []
        while len(events) < total:
            if (event := sleeper.receive(0.3)) is None:  # the heartbeat shows the lost tail
                publisher.bus.heartbeat("cam0")
                continue
            assert isinstance(event, Message), event
            events.append(event)
    over.set()
    answering.join(10)
    assert [event.data.alert_id for event in events] == [f"a-{n}" for n in range(total)]  # type: ignore[union-attr]
    assert any(event.recovered for event in events)


def test_a_restart_is_told_and_the_end_of_the_earlier_boot_is_recovered(
    station: MakeStation, listen: Listen
) -> None:
    first = station("boot-1")
    endpoint, control = first.bus.endpoints[0], first.bus.control_endpoint
    listener = listen(first)
    first.emit(alert("a-1"))
    first.serve_until(lambda: len(revisions(listener)) == 1)
    first.emit(alert("a-2"), send=False)
    first.close()

    second = station("boot-2", publish=endpoint, control=control)
    for row in second.store.open_rows():
        second.emit(alert(row.data.alert_id, row.data.rev + 1, "end"), source=row.source)
    second.serve_until(lambda: second.bus.subscriptions == 1)
    second.bus.heartbeat("cam0")
    second.serve_until(lambda: len(revisions(listener)) == 4)
    assert revisions(listener) == [("a-1", 1), ("a-2", 1), ("a-1", 2), ("a-2", 2)]
    assert PublisherRestarted("boot-2", complete=True) in listener.events
    assert gaps(listener) == 0


def test_a_restart_without_a_store_is_told_as_incomplete(
    station: MakeStation, listen: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    first = station("boot-1", path=None)
    endpoint, control = first.bus.endpoints[0], first.bus.control_endpoint
    listener = listen(first)
    first.emit(alert("a-1"))
    first.serve_until(lambda: len(revisions(listener)) == 1)
    first.close()
    second = station("boot-2", publish=endpoint, control=control, path=None)
    second.serve_until(lambda: second.bus.subscriptions == 1)
    second.emit(alert("a-2"))
    second.serve_until(lambda: len(revisions(listener)) == 2)
    assert PublisherRestarted("boot-2", complete=False) in listener.events


def test_a_reader_without_snapshot_does_not_replay_the_past_at_a_restart(
    station: MakeStation, listen: Listen
) -> None:
    first = station("boot-1")
    endpoint, control = first.bus.endpoints[0], first.bus.control_endpoint
    first.emit(alert("a-before"))
    listener = listen(first, snapshot=False)
    first.emit(alert("a-1"))
    first.serve_until(lambda: len(revisions(listener)) == 1)
    late = first.bus.prepare("cam0", alert("a-1", 2, "update")).event
    first.close()
    second = station("boot-2", publish=endpoint, control=control)
    second.serve_until(lambda: second.bus.subscriptions == 1)
    second.emit(alert("a-2"))
    second.serve_until(lambda: len(revisions(listener)) == 2)
    second.bus._events.send_multipart([late.topic.encode(), late.envelope])
    second.emit(alert("a-3"))
    second.serve_until(lambda: len(revisions(listener)) == 3)
    assert revisions(listener) == [("a-1", 1), ("a-2", 1), ("a-3", 1)]
    assert sum(isinstance(event, PublisherRestarted) for event in listener.events) == 1


def test_silence_is_told_once_and_again_after_a_sign_of_life(
    station: MakeStation, term_context: Context
) -> None:
    publisher = station(control=None)
    now = [0.0]
    with AlertSubscriber(
        publisher.bus.endpoints[0], control=None, context=term_context, clock=lambda: now[0]
    ) as subscriber:
        publisher.serve_until(lambda: publisher.bus.subscriptions == 1)
        assert subscriber.receive(0) is None
        now[0] = 3.5
        assert subscriber.receive(0) == Stale(3.5)
        assert subscriber.receive(0) is None
        publisher.bus.heartbeat("cam0")
        subscriber._events.poll(2000)
        assert subscriber.receive(0) is None
        now[0] = 7.0
        assert subscriber.receive(0) == Stale(3.5)


def test_one_source_and_some_kinds_can_be_chosen(station: MakeStation, listen: Listen) -> None:
    publisher = station()
    listener = listen(publisher, source="cam1", kinds=("alert", "status"))
    publisher.serve_until(lambda: publisher.bus.subscriptions == 3)  # with heartbeats
    publisher.emit(alert("a-0"), source="cam0")
    publisher.emit(alert("a-10"), source="cam10")
    publisher.emit(segment(), source="cam1")
    publisher.emit(online(), source="cam1")
    publisher.emit(alert("a-1"), source="cam1")
    publisher.serve_until(lambda: len(listener.events) == 2)
    assert [event.kind for event in listener.events if isinstance(event, Message)] == [
        "status",
        "alert",
    ]
    assert gaps(listener) == 0


def test_two_subscribers_see_the_same_alerts(station: MakeStation, listen: Listen) -> None:
    publisher = station()
    listeners = [listen(publisher), listen(publisher)]
    for i in range(5):
        publisher.emit(alert(f"a-{i}"))
    publisher.serve_until(lambda: all(len(revisions(each)) == 5 for each in listeners))
    assert revisions(listeners[0]) == revisions(listeners[1])


def test_rubbish_is_counted_and_left_out(station: MakeStation, term_context: Context) -> None:
    publisher = station(control=None)
    with AlertSubscriber(
        publisher.bus.endpoints[0], control=None, context=term_context
    ) as subscriber:
        publisher.serve_until(lambda: publisher.bus.subscriptions == 1)
        good = publisher.bus.prepare("cam0", alert("a-1")).event
        topic = b"egomon/1/cam0/alert/"
        for frames in (
            [b"egomon/1/"],
            [topic, b"{"],
            [b"egomon/1/\xff/alert/", good.envelope],
            [topic, good.envelope.replace(b'"rev":1', b'"rev":"x"')],
            [topic, b"[" * 100_000],
            [topic, good.envelope, b"jpeg"],
        ):
            publisher.bus._events.send_multipart(frames)
        event = subscriber.receive(2)
        assert isinstance(event, Message)
        assert event.attachments == (b"jpeg",)
        assert subscriber.malformed == 5


def test_a_reader_of_this_version_reads_messages_with_new_fields(
    station: MakeStation, term_context: Context
) -> None:
    publisher = station(control=None)
    with AlertSubscriber(
        publisher.bus.endpoints[0], control=None, context=term_context
    ) as subscriber:
        publisher.serve_until(lambda: publisher.bus.subscriptions == 1)
        event = publisher.bus.prepare("cam0", alert("a-1")).event
        newer = event.envelope.replace(b'"rev":1', b'"rev":1,"mood":{"x":[1]}')
        newer = newer.replace(b'"tseq":1', b'"tseq":1,"tenant":"t"')
        newer = newer.replace(b'"reason":"small_score"', b'"reason":"gaze_lost"')
        publisher.bus._events.send_multipart([event.topic.encode(), newer, b"", b"more"])
        assert isinstance(subscriber.receive(2), Message)


def test_requests_reach_the_monitor_and_the_store(
    station: MakeStation, listen: Listen, term_context: Context
) -> None:
    publisher = station()
    publisher.emit(alert("a-1"))
    answers: list[object] = []

    def ask(subscriber: AlertSubscriber) -> None:
        subscriber.reset_context("cam0")
        subscriber.ack("a-1", by="Ada")
        subscriber.feedback("a-1", "false", "it was fine")
        answers.append(subscriber.stats())
        for refused in (
            lambda: subscriber.reset_context("cam9"),
            lambda: subscriber.ack("a-9"),
            lambda: subscriber.feedback("a-1", "perhaps"),
            lambda: subscriber.request("dance"),
        ):
            with pytest.raises(ControlError) as caught:
                refused()
            answers.append(caught.value.code)

    _with_subscriber(publisher, term_context, ask)
    assert publisher.contexts_reset == ["cam0", "cam9"]
    assert answers == [
        {"frames": 7},
        "not_found",
        "not_found",
        "bad_request",
        "unknown_verb",
    ]
    row = publisher.store.alert("a-1")
    assert row is not None
    assert (row.acked_by, row.verdict, row.note) == ("Ada", "false", "it was fine")


def _with_subscriber(
    publisher: Station, context: Context, use: Callable[[AlertSubscriber], None]
) -> None:
    """Run `use` in another thread while this one serves."""
    from concurrent.futures import ThreadPoolExecutor

    def work() -> None:
        with AlertSubscriber(
            publisher.bus.endpoints[0], control=publisher.bus.control_endpoint, context=context
        ) as subscriber:
            use(subscriber)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        publisher.serve_until(done.done)
        done.result()


def test_a_dead_control_socket_costs_one_time_out_and_is_asked_again_later(
    station: MakeStation, term_context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = station()
    now = [0.0]

    def clock() -> float:
        now[0] += 0.5
        return now[0]

    with AlertSubscriber(
        publisher.bus.endpoints[0],
        control=publisher.bus.control_endpoint,
        context=term_context,
        stale_after_seconds=1e9,
        clock=clock,
    ) as subscriber:
        with pytest.raises(ControlError, match=r"no answer from tcp://.* within 2 s"):
            subscriber.stats()
        first_socket = subscriber._control.socket if subscriber._control else None
        assert first_socket is not None
        assert not first_socket.closed
        publisher.serve()
        assert subscriber._control is not None
        assert subscriber._control.is_silent
        now[0] += 10
        assert not subscriber._control.is_silent


def test_an_unknown_kind_and_a_malformed_endpoint_are_refused() -> None:
    with pytest.raises(WireError, match="unknown kind 'alarm'"):
        AlertSubscriber(kinds=("alarm",))
    with pytest.raises(ControlError, match="cannot connect to 'nowhere'"):
        AlertSubscriber("nowhere")


def test_asyncio_gets_the_same_events(station: MakeStation, term_context: Context) -> None:
    publisher = station()
    publisher.emit(alert("a-0"))

    async def collect() -> list[str]:
        seen: list[str] = []
        with AlertSubscriber(
            publisher.bus.endpoints[0],
            control=publisher.bus.control_endpoint,
            context=term_context,
        ) as subscriber:
            serving = asyncio.create_task(serve())
            async for event in subscriber.events():
                assert isinstance(event, Message)
                assert isinstance(event.data, AlertData)
                seen.append(event.data.alert_id)
                if len(seen) == 1:
                    publisher.emit(alert("a-1"))
                    publisher.emit(alert("a-2"), send=False)
                    publisher.emit(alert("a-3"))
                if len(seen) == 4:
                    break
            serving.cancel()
        return seen

    async def serve() -> None:
        while True:
            publisher.serve()
            await asyncio.sleep(0.005)

    assert asyncio.run(asyncio.wait_for(collect(), 10)) == ["a-0", "a-1", "a-2", "a-3"]


def test_the_subscriber_loads_neither_torch_nor_asyncio() -> None:
    code = (
        "import sys, egomon; egomon.AlertSubscriber;"
        "print(sorted({'torch', 'numpy', 'asyncio', 'sqlite3', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_monitor_may_start_after_its_subscriber(
    term_context: Context, station: MakeStation, caplog: pytest.LogCaptureFixture
) -> None:
    with zmq.Context() as own, own.socket(zmq.XPUB) as probe:
        port = probe.bind_to_random_port("tcp://127.0.0.1")
    caplog.set_level(logging.ERROR)
    with AlertSubscriber(
        f"tcp://127.0.0.1:{port}", control=None, context=term_context
    ) as subscriber:
        assert subscriber.receive(0.05) is None
        publisher = station(publish=f"tcp://127.0.0.1:{port}", control=None)
        publisher.serve_until(lambda: publisher.bus.subscriptions == 1, 10)
        publisher.emit(alert("a-1"))
        assert isinstance(subscriber.receive(5), Message)
