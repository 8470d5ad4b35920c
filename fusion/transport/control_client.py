"""Client of the control socket: one request at a time, each with a time-out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import zmq

from egomon.errors import ControlError
from egomon.fusion.transport.sockets import MAX_MESSAGE_BYTES, Context, Socket, open_socket

if TYPE_CHECKING:
    from egomon.fusion.transport.keys import CurveConfig

# A monitor that answers nothing is not asked again with every message.
_BACK_OFF_SECONDS = 5.0


class ControlClient:
    """A DEALER socket that is replaced after each time-out, so that late answers are dropped.

    Args:
        endpoint: control endpoint of the monitor.
        timeout_seconds: longest wait for an answer.
        curve: keys from `CurveConfig.client`.
        context: ZeroMQ context; the caller ends it.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        context: Context,
        timeout_seconds: float = 2.0,
        curve: CurveConfig | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.timeout_seconds = timeout_seconds
        self._endpoint = endpoint
        self._context = context
        self._curve = curve
        self._clock = clock
        self._last_id = 0
        self._silent_until = float("-inf")
        self.socket: Socket = self._open()

    @property
    def is_silent(self) -> bool:
        """Return whether a request went unanswered within the last 5 s."""
        return self._clock() < self._silent_until

    def request(self, verb: str, **fields: Any) -> dict[str, Any]:
        """Ask and wait for the answer.

        Raises:
            ControlError: refused, or no answer in time.
        """
        self.send(verb, fields)
        deadline = self._clock() + self.timeout_seconds
        while (left := deadline - self._clock()) > 0:
            if not self.socket.poll(int(left * 1000) + 1):
                break
            answer = self.take()
            if answer is not None:
                return answer
        raise self.give_up()

    def send(self, verb: str, fields: Mapping[str, Any]) -> None:
        """Send a request without waiting."""
        self._last_id += 1
        body = msgspec.json.encode({"id": self._last_id, "verb": verb, **fields})
        try:
            self.socket.send(body, zmq.NOBLOCK)
        except zmq.Again:
            self._replace()
            self.socket.send(body, zmq.NOBLOCK)

    def take(self) -> dict[str, Any] | None:
        """Return the answer to the last request; None if there is none yet.

        Raises:
            ControlError: refused.
        """
        while True:
            try:
                body = self.socket.recv_multipart(zmq.NOBLOCK)[-1]
                answer = msgspec.json.decode(body, type=dict[str, Any])
            except zmq.Again:
                return None
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            if answer.get("id") == self._last_id:
                break
        self._silent_until = float("-inf")
        if answer.get("ok") is True:
            return answer
        error = answer.get("error") or {}
        code = str(error.get("code"))
        raise ControlError(f"the monitor refused: {error.get('message')} ({code})", code=code)

    def give_up(self) -> ControlError:
        """Drop the unanswered request together with its socket; returns the error to raise."""
        self._silent_until = self._clock() + _BACK_OFF_SECONDS
        self._replace()
        return ControlError(
            f"no answer from {self._endpoint} within {self.timeout_seconds:g} s; "
            "is the monitor running, and is this its control endpoint?",
            code="no_answer",
        )

    def close(self) -> None:
        """Close the socket; a request that was not sent is dropped."""
        self.socket.close(linger=0)

    def _replace(self) -> None:
        self.close()
        self.socket = self._open()

    def _open(self) -> Socket:
        socket = open_socket(self._context, zmq.DEALER, max_bytes=MAX_MESSAGE_BYTES)
        connect(socket, self._endpoint, self._curve)
        return socket


def connect(socket: Socket, endpoint: str, curve: CurveConfig | None) -> None:
    """Connect with or without keys.

    Raises:
        ControlError: the endpoint is malformed; the socket is closed.
    """
    socket.ipv6 = True
    if curve is not None:
        curve.apply(socket)
    try:
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        socket.close(linger=0)
        raise ControlError(
            f"cannot connect to {endpoint!r}: {error.strerror}; write tcp://HOST:PORT or ipc://PATH",
            code="bad_request",
        ) from error
