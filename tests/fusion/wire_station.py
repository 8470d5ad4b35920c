"""Shared by the tests of the wire: sample messages, a publisher and a subscriber to play with."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import zmq

from egomon.fusion.messages.types import (
    AlertData,
    BranchScores,
    Data,
    Phase,
    Scores,
    SegmentRef,
    StatusData,
)
from egomon.fusion.store.events import EventStore
from egomon.fusion.transport.control_server import StoreControl
from egomon.fusion.transport.server import EventServer
from egomon.fusion.transport.sockets import Context
from egomon.fusion.transport.subscriber import AlertSubscriber, Event


def scores(p: float = 0.9) -> Scores:
    """Scores of the small branch alone."""
    return Scores(small=BranchScores(p=p, logits=(-1.0, 1.0)), threshold=0.5, t_off=0.4)


def alert(alert_id: str = "a-1", rev: int = 1, phase: Phase = "new") -> AlertData:
    """One revision of an alert."""
    closed = phase in ("end", "retract")
    return AlertData(
        alert_id=alert_id,
        rev=rev,
        phase=phase,
        state="closed" if closed else "confirmed",
        reason="below_t_off" if closed else "small_score",
        explanation="The step does not look like the one expected here.",
        p=0.9,
        segment=SegmentRef(id=rev, epoch=0, media_start=0.0, media_end=2.0, frames=32),
        media_opened=2.0,
        media_end=4.0 if closed else None,
        scores=scores(),
        model="demo@0123456789ab",
    )


@dataclass
class Station:
    """A publisher with store and control socket, driven by hand as the emit thread drives it."""

    bus: EventServer
    store: EventStore
    control: StoreControl
    contexts_reset: list[str]

    def emit(self, data: Data, *, source: str = "cam0", send: bool = True) -> None:
        """Store, then publish; `send=False` loses the message on the way."""
        prepared = self.bus.prepare(source, data)
        self.store.append([prepared.event])
        if send:
            self.bus.send(prepared)
        else:
            self.bus._sequencer.sent(prepared.event, data)

    def serve(self) -> int:
        """Answer what waits."""
        self.bus.serve()
        return self.bus.serve_requests(self.control)

    def serve_until(self, done: Callable[[], bool], seconds: float = 5.0) -> None:
        """Serve, waiting on the sockets, until `done()`."""
        deadline = time.monotonic() + seconds
        poller = zmq.Poller()
        for socket, flags in self.bus.sockets_to_poll:
            poller.register(socket, flags)
        if self.bus.request_socket is not None:
            poller.register(self.bus.request_socket, zmq.POLLIN)
        while not done():
            assert time.monotonic() < deadline, "waited in vain"
            poller.poll(20)
            self.serve()

    def close(self) -> None:
        """Close both."""
        self.bus.close()
        self.store.close()


MakeStation = Callable[..., Station]


class Listener:
    """An `AlertSubscriber` in its own thread, so that the test can play the publisher."""

    def __init__(self, station: Station, context: Context, **options: object) -> None:
        self.events: list[Event] = []
        self.error: BaseException | None = None
        options.setdefault("control", station.bus.control_endpoint)
        self._endpoint = station.bus.endpoints[0]
        self._context = context
        self._options = options
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with AlertSubscriber(
                self._endpoint, context=self._context, **self._options
            ) as subscriber:
                while not self._stop.is_set():
                    event = subscriber.receive(0.02)
                    if event is not None:
                        self.events.append(event)
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        """End the thread and re-raise what happened in it."""
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error


def online() -> StatusData:
    """The status of a source that delivers."""
    return StatusData(source_state="online")
