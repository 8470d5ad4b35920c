"""A ZeroMQ context that fails a test on a leaked socket; publishers and subscribers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
from wire_station import Listener, MakeStation, Station

from egomon.errors import AddressInUseError
from egomon.fusion.store.events import EventStore
from egomon.fusion.transport.control_server import StoreControl
from egomon.fusion.transport.server import EventServer
from egomon.fusion.transport.sockets import Context

TERM_SECONDS = 5.0


@pytest.fixture
def term_context() -> Iterator[Context]:
    """A ZeroMQ context; a socket that a test leaves open fails the test instead of hanging it."""
    context: Context = zmq.Context()
    yield context
    ending = threading.Thread(target=context.term, daemon=True)
    ending.start()
    ending.join(TERM_SECONDS)
    if ending.is_alive():
        for socket in list(context._sockets):
            socket.close(linger=0)
        ending.join(TERM_SECONDS)
        pytest.fail("a socket was left open")


@pytest.fixture
def station(term_context: Context, tmp_path: Path) -> Iterator[MakeStation]:
    """Start publishers; the same endpoints and store path may be given again after `close`."""
    made: list[Station] = []

    def make(
        boot: str = "boot-1",
        *,
        publish: str = "tcp://127.0.0.1:*",
        control: str | None = "tcp://127.0.0.1:*",
        path: Path | None = tmp_path / "events.sqlite",
        **options: object,
    ) -> Station:
        deadline = time.monotonic() + 3.0
        while True:
            try:
                bus = EventServer(
                    [publish], control, host="bench", boot=boot, context=term_context, **options
                )
                break
            except AddressInUseError:  # within one context a closed socket frees its port late
                if publish.endswith(":*") or time.monotonic() > deadline:
                    raise
        store = EventStore(path)
        store.begin(boot=boot, sources=["cam0"], started_wall_ns=time.time_ns())
        resets: list[str] = []

        def reset(source: str) -> bool:
            resets.append(source)
            return source == "cam0"

        handler = StoreControl(
            store, bus.snapshot, reset_context=reset, stats=lambda: {"frames": 7}
        )
        made.append(Station(bus, store, handler, resets))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def listen(term_context: Context) -> Iterator[Callable[..., Listener]]:
    """Start subscribers in threads."""
    made: list[Listener] = []

    def make(to: Station, **options: object) -> Listener:
        made.append(Listener(to, term_context, **options))
        to.serve_until(lambda: to.bus.subscriptions >= len(made))
        return made[-1]

    yield make
    for each in made:
        each.stop()
