"""The alert bus: XPUB for events, ROUTER for requests, each used by one thread.

Nothing here blocks: a slow subscriber loses messages at its high-water mark, sees the hole in
`tseq`, and asks for them again on the control socket.
"""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import zmq

from egomon import endpoints
from egomon.fusion.messages.types import Data
from egomon.fusion.store.tables import StoredEvent
from egomon.fusion.transport import control_verbs as control_requests
from egomon.fusion.transport.control_server import ControlHandler
from egomon.fusion.transport.keys import CurveConfig, ZapAuthenticator
from egomon.fusion.transport.peer_bounds import PeerBounds
from egomon.fusion.transport.sequencer import Sequencer, Snapshot
from egomon.fusion.transport.sockets import (
    MAX_MESSAGE_BYTES,
    MAX_REQUEST_BYTES,
    MAX_SUBSCRIPTION_BYTES,
    Context,
    Socket,
    bind,
    check_bind,
    open_socket,
)

__all__ = ["ControlHandler", "EventServer", "PreparedMessage", "StoredEvent"]

logger = logging.getLogger(__name__)

# Then alerts have their turn, however fast requests come.
_REQUESTS_PER_CALL = 64
MOST_BYTES_TO_EVENTS = 256 << 10
"""What a peer of the event socket may send in all: topics to subscribe."""
MOST_BYTES_UNANSWERED = 1 << 20
"""What a peer of the request socket may send without getting an answer."""
UNREAD_ANSWERS = 32
"""Answers that wait for a peer to read them; those beyond are dropped."""
KNOCKS_TOLD_SECONDS = 60.0
"""Refused connections are logged at most this often; all are counted."""
_FAILED_HANDSHAKE = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)


_COMES_AND_GOES = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED


@dataclass(frozen=True, slots=True)
class PreparedMessage:
    """A numbered message that is still to be sent."""

    event: StoredEvent
    data: Data


class EventServer:
    """Publishes numbered events and answers requests.

    One thread calls everything but `serve_requests`, and one thread calls that: what clients ask
    for never holds up an alert. `close` is for when both have ended.

    Args:
        publish: endpoints of the event socket; `tcp://127.0.0.1:*` takes a free port.
        control: endpoint of the request socket; None goes without.
        host: this machine's name in `Envelope.source`.
        boot: changes with each start of the publisher.
        curve: keys from `CurveConfig.server`; needed on any address but loopback.
        insecure_bind: bind such an address without keys.
        wall_clock_ns: time in the envelope.
        clock: monotonic seconds.
        context: shared ZeroMQ context; without one the bus has its own.

    Raises:
        ConfigError: an endpoint must not or cannot be bound.
        AddressInUseError: another program has it.
    """

    def __init__(
        self,
        publish: Sequence[str] = (endpoints.PUBLISH,),
        control: str | None = endpoints.CONTROL,
        *,
        host: str,
        boot: str,
        curve: CurveConfig | None = None,
        insecure_bind: bool = False,
        wall_clock_ns: Callable[[], int] = time.time_ns,
        clock: Callable[[], float] = time.monotonic,
        context: Context | None = None,
    ) -> None:
        secured = curve is not None or insecure_bind
        for endpoint in publish:
            check_bind(endpoint, option="--pub", secured=secured)
        if control is not None:
            check_bind(control, option="--control", secured=secured)
        self.endpoints: tuple[str, ...] = ()
        """Event endpoints as bound."""
        self.control_endpoint: str | None = None
        self.send_failed = 0
        """Messages that the socket refused, and attachments that were too big."""
        self.subscriptions = 0
        """Subscriptions now held by readers; one reader may hold several."""
        self.requests = 0
        self.bad_requests = 0
        self.auth_failures = 0
        """Handshakes that failed: wrong key, no key, or not ZeroMQ at all."""
        self._clock, self._next_knock_told = clock, clock()
        self.bounds = PeerBounds(clock)
        """Counts peers that were cut off because they sent too much."""
        self._sequencer = Sequencer(boot, host, wall_clock_ns)
        self._own_context = context is None
        self._context = context or zmq.Context()
        self._monitors: list[Socket] = []
        self._sockets: list[Socket] = []
        self._gate: ZapAuthenticator | None = None
        self._control: Socket | None = None
        try:
            if curve is not None:
                self._gate = ZapAuthenticator(self._context, curve.allowed)
            self._events = self._open(zmq.XPUB, curve, max_bytes=MAX_SUBSCRIPTION_BYTES)
            # Every subscription and its end, also of a topic that another reader has.
            self._events.xpub_verboser = 1
            self.endpoints = tuple(bind(self._events, e, option="--pub") for e in publish)
            if control is not None:
                self._control = self._open(zmq.ROUTER, curve)
                # A peer that reads no answers costs no more memory than these.
                self._control.sndhwm = UNREAD_ANSWERS
                self.control_endpoint = bind(self._control, control, option="--control")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def boot(self) -> str:
        """Name of this run of the publisher."""
        return self._sequencer.boot

    @property
    def sockets_to_poll(self) -> list[tuple[Socket, int]]:
        """Sockets and flags to register in a `zmq.Poller`; call `serve` when one is ready."""
        gate = [self._gate.socket] if self._gate else []
        return [(socket, zmq.POLLIN) for socket in (self._events, *self._monitors, *gate)]

    @property
    def request_socket(self) -> Socket | None:
        """Call `serve_requests` when it is ready."""
        return self._control

    def prepare(self, source: str, data: Data) -> PreparedMessage:
        """Number a message, so that the caller can store it before it sends it.

        Raises:
            WireError: the source's name cannot be a topic level.
        """
        return PreparedMessage(self._sequencer.number(source, data), data)

    def send(self, prepared: PreparedMessage, attachments: Sequence[bytes] = ()) -> StoredEvent:
        """Hand a message to the socket; send in the order of `prepare`. Never blocks.

        Attachments of more than 16 MiB are left empty: a reader would cut the connection.
        """
        event = prepared.event
        frames = [event.topic.encode(), event.envelope]
        for attachment in attachments:
            fits = len(attachment) <= MAX_MESSAGE_BYTES
            frames.append(attachment if fits else b"")
            self.send_failed += not fits
        try:
            self._events.send_multipart(frames, zmq.NOBLOCK)
        except zmq.ZMQError as error:
            self.send_failed += 1
            logger.warning("message %s could not be sent: %s", event.seq, error)
        self._sequencer.sent(event, prepared.data)
        return event

    def publish(self, source: str, data: Data, attachments: Sequence[bytes] = ()) -> StoredEvent:
        """`prepare` and `send` in one step, for what is not stored."""
        return self.send(self.prepare(source, data), attachments)

    def heartbeat(self, source: str) -> StoredEvent:
        """Publish the last number of each topic of a source, so that loss before silence shows."""
        return self.publish(source, self._sequencer.heartbeat(source))

    def snapshot(self, prefix: str = "") -> Snapshot:
        """Open alerts and last statuses of topics that start with `prefix`; from any thread."""
        return self._sequencer.snapshot(prefix)

    def serve(self) -> None:
        """Note who connects and subscribes, without waiting."""
        if self._gate is not None:
            self._gate.serve()
        self._note_connections()
        self._note_subscriptions()

    def serve_requests(self, handler: ControlHandler) -> int:
        """Answer queued requests in turn of the peers, without waiting.

        Returns:
            Number of requests answered, at most 64.
        """
        answered = 0
        while answered < _REQUESTS_PER_CALL and self._answer_one(handler):
            answered += 1
        return answered

    def close(self) -> None:
        """Give unread messages 0.5 s, close the sockets, then an own context; idempotent."""
        self.bounds.close()
        for socket in self._sockets:
            if not socket.closed:
                socket.disable_monitor()
        for socket in (*self._monitors, *self._sockets):
            socket.close()
        if self._gate is not None:
            self._gate.close()
        if self._own_context and not self._context.closed:
            self._context.term()

    def _open(
        self, kind: int, curve: CurveConfig | None, *, max_bytes: int = MAX_REQUEST_BYTES
    ) -> Socket:
        socket = open_socket(self._context, kind, max_bytes=max_bytes)
        self._sockets.append(socket)
        if curve is not None:
            curve.apply(socket)
        monitor = socket.get_monitor_socket(_FAILED_HANDSHAKE | _COMES_AND_GOES)
        monitor.linger = 0
        self._monitors.append(monitor)
        return socket

    def _answer_one(self, handler: ControlHandler) -> bool:
        if self._control is None:
            return False
        try:
            peer, *frames = self._control.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        self.requests += 1
        delimiter = frames[:1] if len(frames) == 2 and frames[0] == b"" else []  # a REQ socket
        frames = frames[len(delimiter) :]
        if len(frames) == 1:
            reply = control_requests.answer(frames[0], handler, self.boot)
        else:
            reply = control_requests.refuse(None, "bad_request", "a request is one frame of JSON")
        self.bad_requests += b'"ok":false' in reply[:100]
        try:
            self._control.send_multipart([peer, *delimiter, reply], zmq.NOBLOCK)
        except zmq.ZMQError as error:  # the peer is gone, or does not read its answers
            logger.debug("an answer could not be sent: %s", error)
        return True

    def _note_subscriptions(self) -> None:
        while True:
            try:
                message = self._events.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            # Readers may also send messages of their own; only 0 and 1 are subscriptions.
            self.subscriptions += {b"\x01": 1, b"\x00": -1}.get(message[:1], 0)

    def _note_connections(self) -> None:
        for socket, monitor in zip(self._sockets, self._monitors, strict=True):
            while monitor.poll(0):
                event, value = struct.unpack("=HI", monitor.recv_multipart(zmq.NOBLOCK)[0])
                if event == zmq.EVENT_ACCEPTED:
                    answered = socket is self._control
                    most_bytes = MOST_BYTES_UNANSWERED if answered else MOST_BYTES_TO_EVENTS
                    self.bounds.accepted(value, most_bytes, answered=answered)
                elif event == zmq.EVENT_DISCONNECTED:
                    self.bounds.ended(value)
                else:
                    self._note_failure(zmq.Event(event).name)

    def _note_failure(self, name: str | None) -> None:
        self.auth_failures += 1
        # Anybody can knock a thousand times a second; that must not fill the log.
        if self._clock() >= self._next_knock_told:
            self._next_knock_told = self._clock() + KNOCKS_TOLD_SECONDS
            told = "a connection was refused during its handshake: %s (%d so far)"
            logger.warning(told, name, self.auth_failures)
