"""Alerts on the bus: their cost, and whether any is lost."""

from __future__ import annotations

import tempfile
import threading
import time

from wire import alert, alert_cpu_ms

from egomon.fusion.messages.message import Message
from egomon.fusion.store.events import EventStore
from egomon.fusion.transport.control_server import StoreControl
from egomon.fusion.transport.server import EventServer
from egomon.fusion.transport.subscriber import AlertSubscriber
from pipeline_parts.bench import Bench
from pipeline_parts.figures import Measured

LONGEST_SECONDS = 20.0


def bus(bench: Bench) -> dict[str, Measured]:
    """CPU of one alert."""
    alerts = 200 if bench.quick else 2000
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        spent = alert_cpu_ms(alerts, folder)
    return {"bus_cpu_ms": Measured(spent[alerts // 2], {"p99": spent[alerts * 99 // 100]})}


class Reader:
    """A subscriber in a thread of its own that keeps the ids it got."""

    def __init__(self, publisher: EventServer) -> None:
        self.ids: set[str] = set()
        self._endpoints = publisher.endpoints[0], publisher.control_endpoint
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        events, control = self._endpoints
        with AlertSubscriber(events, control=control) as subscriber:
            while not self._stop.is_set():
                event = subscriber.receive(0.05)
                if isinstance(event, Message):
                    self.ids.add(event.data.alert_id)  # type: ignore[union-attr]

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()


def lost(bench: Bench) -> dict[str, Measured]:
    """One reader from the start, one that comes after half of the alerts."""
    count = 200 if bench.quick else 1000
    with (
        EventServer(
            ["tcp://127.0.0.1:*"], "tcp://127.0.0.1:*", host="bench", boot="b"
        ) as publisher,
        EventStore(bench.folder / "lost.sqlite") as store,
    ):
        store.begin(boot="b", sources=["cam0"], started_wall_ns=0)
        control = StoreControl(
            store, publisher.snapshot, reset_context=lambda source: False, stats=dict
        )

        def emit(numbers: range) -> None:
            for number in numbers:
                prepared = publisher.prepare("cam0", alert(number))
                store.append([prepared.event])
                publisher.send(prepared)

        def serve_until(done: object) -> None:
            deadline = time.monotonic() + LONGEST_SECONDS
            while not done() and time.monotonic() < deadline:  # type: ignore[operator]
                publisher.serve()
                publisher.serve_requests(control)
                time.sleep(0.002)

        readers = [Reader(publisher)]
        serve_until(lambda: publisher.subscriptions > 0)
        seen = publisher.subscriptions
        emit(range(count // 2))
        readers.append(Reader(publisher))
        serve_until(lambda: publisher.subscriptions > seen)
        emit(range(count // 2, count))
        serve_until(lambda: all(len(reader.ids) == count for reader in readers))
        missing = [count - len(reader.ids) for reader in readers]
        for reader in readers:
            reader.stop()
    detail = {"published": count, "seen_lost": missing[0], "late_lost": missing[1]}
    return {"alerts_lost": Measured(float(sum(missing)), detail)}
