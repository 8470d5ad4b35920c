"""A burst of alerts to 200 readers of which one is slow: what it hears, and what it is told.

The monitor's sockets, store and thread of requests in this process; 199 readers that take all as
fast as they can in a second one; the slow one, an `AlertSubscriber`, in a third.

python benchmarks/slow_reader.py [--alerts 13210] [--rate 1321] [--readers 200] [--slow-rate 400]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import selectors
import socket
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from wire import alert

from egomon.fusion.event_publisher import EventPublisher
from egomon.fusion.messages.types import AlertData
from egomon.fusion.store.events import EventStore
from egomon.fusion.transport.control_server import StoreControl
from egomon.fusion.transport.server import EventServer
from egomon.fusion.transport.subscriber import AlertSubscriber, Gap, Message
from egomon.monitor.workers.request_worker import RequestWorker

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x05READY\x0bSocket-Type" + (3).to_bytes(4, "big") + b"SUB"
SUBSCRIBE_ALL = b"\0\1\1"
SOURCE = "cam0"


def read_fast(port: int, readers: int, over: Connection) -> None:
    """Subscribe so many times to everything and throw it away."""
    waiting, heard, buffer = selectors.DefaultSelector(), 0, bytearray(1 << 20)
    for _ in range(readers):
        peer = socket.create_connection(("127.0.0.1", port))
        peer.sendall(GREETING + bytes([4, len(READY)]) + READY)
        peer.recv(len(GREETING), socket.MSG_WAITALL)
        time.sleep(0.005)  # the server's READY comes first
        peer.sendall(SUBSCRIBE_ALL)
        waiting.register(peer, selectors.EVENT_READ)
    waiting.register(over, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.fileobj is over:
                over.send(heard)
                return
            heard += key.fileobj.recv_into(buffer)  # type: ignore[union-attr]


def read_slowly(publish: str, control: str, alerts: int, rate: float, told: Connection) -> None:
    """Take one message after the other until all are heard or told as lost."""
    found = {"from_socket": 0, "from_store": 0, "told_lost": 0, "gaps": 0, "twice": 0}
    heard: set[str] = set()
    with AlertSubscriber(publish, control=control, kinds=("alert",)) as reader:
        reader.receive(0.0)
        began = time.monotonic()
        while len(heard) + found["told_lost"] < alerts and time.monotonic() - began < 300:
            event = reader.receive(1.0)
            if isinstance(event, Gap):
                found["told_lost"] += event.n
                found["gaps"] += 1
            elif isinstance(event, Message) and isinstance(event.data, AlertData):
                found["twice"] += event.data.alert_id in heard
                heard.add(event.data.alert_id)
                found["from_store" if event.recovered else "from_socket"] += 1
                time.sleep(1 / rate)
    told.send({**found, "not_told": alerts - len(heard) - found["told_lost"]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alerts", type=int, default=13210)
    parser.add_argument("--rate", type=float, default=1321.0)
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--slow-rate", type=float, default=400.0)
    options = parser.parse_args()
    processes = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as folder,
        EventServer(["tcp://127.0.0.1:*"], "tcp://127.0.0.1:*", host="b", boot="b1") as bus,
    ):
        store = EventStore(Path(folder, "events.sqlite"), patience_seconds=0.5)
        store.begin(boot="b1", sources=[SOURCE], started_wall_ns=time.time_ns())
        publisher = EventPublisher(bus, store)
        handler = StoreControl(store, bus.snapshot, reset_context=bool, stats=dict)
        fast, over = processes.Pipe()
        slow, told = processes.Pipe()
        port = int(bus.endpoints[0].rpartition(":")[2])
        assert bus.control_endpoint is not None
        addresses = (bus.endpoints[0], bus.control_endpoint)
        children = [
            processes.Process(target=read_fast, args=(port, options.readers - 1, over)),
            processes.Process(
                target=read_slowly, args=(*addresses, options.alerts, options.slow_rate, told)
            ),
        ]
        for each in children:
            each.start()
        with RequestWorker(bus, handler):
            while bus.subscriptions < options.readers:
                bus.serve()
                time.sleep(0.01)
            began, longest, beat = time.monotonic(), 0.0, 0.0
            for number in range(options.alerts):
                due = began + number / options.rate
                if (ahead := due - time.monotonic()) > 0:
                    time.sleep(ahead)
                publisher.emit(SOURCE, alert(number))
                longest = max(longest, time.monotonic() - due)
                if time.monotonic() - beat >= 1.0:
                    beat = time.monotonic()
                    bus.heartbeat(SOURCE)
                    bus.serve()
            seconds = time.monotonic() - began
            while not slow.poll(1.0):
                bus.heartbeat(SOURCE)
                bus.serve()
            fast.send(None)
            found = {"alerts_per_s": options.alerts / seconds, "longest_wait_s": longest}
            found |= {"heard_by_others_mb": fast.recv() / 1e6, **slow.recv()}
            print(json.dumps(found))
        for each in children:
            each.join(10)
        store.close()


if __name__ == "__main__":
    main()
