"""Receive alerts: snapshot first, then the stream, holes filled, losses reported.

```python
with egomon.AlertSubscriber() as alerts:
    for event in alerts:
        if isinstance(event, Message):
            print(event.data.explanation)
```

Needs pyzmq and msgspec only; torch is never loaded.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

import zmq

from egomon import endpoints
from egomon.errors import ControlError
from egomon.fusion.messages.message import Message
from egomon.fusion.transport.control_client import ControlClient, connect
from egomon.fusion.transport.sockets import MAX_MESSAGE_BYTES, Context, open_socket
from egomon.fusion.transport.subscriber_events import (
    Event,
    Gap,
    PublisherRestarted,
    Stale,
)
from egomon.fusion.transport.subscriber_state import Ask, EventGenerator, SubscriberState

if TYPE_CHECKING:
    from egomon.fusion.transport.keys import CurveConfig

__all__ = ["AlertSubscriber", "Event", "Gap", "Message", "PublisherRestarted", "Stale"]

logger = logging.getLogger(__name__)

# ZeroMQ waits in C: only between slices does Python see Ctrl-C.
_SLICE_SECONDS = 1.0


class AlertSubscriber:
    """Iterate over it, or call `receive`, or `async for event in subscriber.events()`.

    One thread uses it. Where a hole is being filled, a wait takes up to 2 s longer.

    Args:
        endpoint: event endpoint of the monitor.
        control: control endpoint; None does without snapshot and recovery.
        source: only this source; None follows all.
        kinds: of `alert`, `segment`, `status`, `stats`, `heartbeat`, `gap`.
        snapshot: begin with the last status and open alerts.
        stale_after_seconds: silence after which one `Stale` is reported; heartbeats come at 1 Hz.
        curve: keys from `CurveConfig.client`.
        context: shared ZeroMQ context; without one the subscriber has its own.
        clock: monotonic seconds.

    Raises:
        ControlError: a malformed endpoint.
        WireError: an unknown kind.
    """

    def __init__(
        self,
        endpoint: str = endpoints.PUBLISH,
        *,
        control: str | None = endpoints.CONTROL,
        source: str | None = None,
        kinds: Sequence[str] = ("alert",),
        snapshot: bool = True,
        stale_after_seconds: float = 3.0,
        curve: CurveConfig | None = None,
        context: Context | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.auth_failures = 0
        """Times the monitor refused this subscriber's key."""
        self._follower = SubscriberState(
            source=source, kinds=kinds, snapshot=snapshot, control=control is not None
        )
        self._stale_after = stale_after_seconds
        self._clock = clock
        self._ready: deque[Event] = deque()
        self._heard = clock()
        self._is_stale = self._started = self._closed = False
        self._own_context = context is None
        self._context = context or zmq.Context()
        self._control: ControlClient | None = None
        self._events = open_socket(self._context, zmq.SUB, max_bytes=MAX_MESSAGE_BYTES)
        self._monitor = self._events.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
        try:
            for prefix in self._follower.prefixes:
                self._events.subscribe(prefix)
            connect(self._events, endpoint, curve)
            if control is not None:
                self._control = ControlClient(
                    control, context=self._context, curve=curve, clock=clock
                )
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event]:
        while not self._closed:
            event = self.receive()
            if event is not None:
                yield event

    @property
    def malformed(self) -> int:
        """Messages that were not understood and left out."""
        return self._follower.malformed

    def receive(self, timeout_seconds: float | None = None) -> Event | None:
        """The next event, or None when the time is over; without a limit it waits for ever."""
        deadline = None if timeout_seconds is None else self._clock() + timeout_seconds
        while not self._closed:
            self._begin()
            if self._ready:
                return self._ready.popleft()
            self._events.poll(self._wait_ms(deadline))
            if self._drain() or self._note_silence():
                continue
            if deadline is not None and self._clock() >= deadline:
                return None
        return None

    async def events(self) -> AsyncIterator[Event]:
        """The same events for asyncio; the loop is never blocked."""
        import zmq.asyncio

        while not self._closed:
            if not self._started:
                self._started = True
                await self._run_async(self._follower.start())
            while self._ready:
                yield self._ready.popleft()
            poller = zmq.asyncio.Poller()
            poller.register(self._events, zmq.POLLIN)
            await poller.poll(self._wait_ms(None))
            frames = self._receive_frames()
            if frames is not None:
                await self._run_async(self._follower.message(frames))
            else:
                self._note_silence()

    def reset_context(self, source: str) -> None:
        """Make the monitor forget the workflow so far, as at the start of a new task.

        Raises:
            ControlError: refused, or no answer within 2 s.
        """
        self.request("reset-context", source=source)

    def ack(self, alert_id: str, by: str = "") -> None:
        """Acknowledge an alert; see `reset_context` for errors."""
        self.request("ack", alert_id=alert_id, by=by)

    def feedback(self, alert_id: str, verdict: str, note: str = "") -> None:
        """Say whether an alert was right: `true`, `false` or `unsure`; stored for retraining."""
        self.request("feedback", alert_id=alert_id, verdict=verdict, note=note)

    def stats(self) -> dict[str, Any]:
        """Counters of the monitor."""
        stats: dict[str, Any] = self.request("stats")["stats"]
        return stats

    def request(self, verb: str, **fields: Any) -> dict[str, Any]:
        """Any verb of the control socket.

        Raises:
            ControlError: refused, or no answer within 2 s, or no control endpoint.
        """
        if self._control is None:
            raise ControlError(
                f"{verb} needs the monitor's control endpoint; give control=", code="no_answer"
            )
        return self._control.request(verb, **fields)

    def close(self) -> None:
        """Close sockets and an own context; idempotent."""
        self._closed = True
        if not self._events.closed:
            self._events.disable_monitor()
        self._monitor.close(linger=0)
        self._events.close(linger=0)
        if self._control is not None:
            self._control.close()
        if self._own_context and not self._context.closed:
            self._context.term()

    def _begin(self) -> None:
        if not self._started:
            self._started = True
            self._run(self._follower.start())

    def _drain(self) -> bool:
        frames = self._receive_frames()
        if frames is not None:
            self._run(self._follower.message(frames))
        return frames is not None

    def _receive_frames(self) -> list[bytes] | None:
        try:
            frames = self._events.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None
        self._heard = self._clock()
        self._is_stale = False
        return frames

    def _note_silence(self) -> bool:
        """Report silence once; True where there is something to report."""
        refused = False
        while self._monitor.poll(0):
            self._monitor.recv_multipart(zmq.NOBLOCK)
            self.auth_failures += 1
            refused = True
        silent = self._clock() - self._heard
        if self._is_stale or silent < self._stale_after:
            return False
        self._is_stale = True
        self._ready.append(Stale(silent, refused=refused or self.auth_failures > 0))
        return True

    def _wait_ms(self, deadline: float | None) -> int:
        now = self._clock()
        left = _SLICE_SECONDS
        if not self._is_stale:
            left = min(left, self._heard + self._stale_after - now)
        if deadline is not None:
            left = min(left, deadline - now)
        return max(0, int(left * 1000) + 1)

    def _run(self, steps: EventGenerator) -> None:
        answer: dict[str, Any] | None = None
        while (ask := self._advance(steps, answer)) is not None:
            answer = None
            control = self._control
            if control is None or (control.is_silent and not ask.alive):
                continue
            try:
                answer = control.request(ask.verb, **ask.fields)
            except ControlError as error:
                _warn(error)

    async def _run_async(self, steps: EventGenerator) -> None:
        import zmq.asyncio

        answer: dict[str, Any] | None = None
        while (ask := self._advance(steps, answer)) is not None:
            answer = None
            control = self._control
            if control is None or (control.is_silent and not ask.alive):
                continue
            control.send(ask.verb, ask.fields)
            poller = zmq.asyncio.Poller()
            poller.register(control.socket, zmq.POLLIN)
            await poller.poll(int(control.timeout_seconds * 1000))
            try:
                answer = control.take()
                if answer is None:
                    raise control.give_up()
            except ControlError as error:
                _warn(error)

    def _advance(self, steps: EventGenerator, answer: dict[str, Any] | None) -> Ask | None:
        """Run to the next request; events on the way become ready."""
        while True:
            try:
                step = steps.send(answer)
            except StopIteration:
                return None
            if isinstance(step, Ask):
                return step
            self._ready.append(step)
            answer = None


def _warn(error: ControlError) -> None:
    """Log why a request to the monitor failed; messages continue."""
    hint = ""
    if error.code == "no_answer":
        hint = " (it is named by control=, in the command by --control); until then open alerts"
        hint += " of before are not shown, and lost messages are not asked for"
    logger.warning("%s%s", error, hint)
