"""Bounds on what one peer may send in all: libzmq bounds each part of a message, not their sum.

It never shows a message whose last part has not come, so a message without end filled the memory.
The kernel counts the bytes of each connection (Linux, TCP); one that has sent too many is cut.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from egomon.stream.worker import Worker

WATCHES = sys.platform == "linux"
# At the bound of a gigabit a peer can send 12 MB between two looks.
LOOK_SECONDS = 0.1
SPARE_BYTES_A_SECOND = 100.0
"""Above the bound, for as long as the peer is there: heartbeats of its own cost it 9 bytes each."""

_TCP_INFO_BYTES = 136
# tcpi_bytes_acked, tcpi_bytes_received of `struct tcp_info`.
_TCP_INFO_COUNTS = struct.Struct("QQ")
_TCP_INFO_OFFSET = 120


@dataclass(slots=True)
class _Peer:
    address: tuple[object, ...]
    since: float
    most_bytes: int
    answered: bool
    acked: int = 0
    forgiven: int = 0
    """Bytes received until the last answer."""


class PeerBounds:
    """Cuts the connections of peers that send more than they may; its thread ends with `close`.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.cut = 0
        """Connections that were cut."""
        self._clock, self._lock = clock, Lock()
        self._peers: dict[int, _Peer] = {}
        self._worker = Worker("peer-bounds", self._run)
        self._started = False

    def accepted(self, fd: int, most_bytes: int, *, answered: bool) -> None:
        """A connection began.

        Args:
            fd: its file descriptor, which stays libzmq's.
            most_bytes: it may send so many.
            answered: without an answer; otherwise in all.
        """
        address = _with(fd, lambda connection: connection.getpeername())
        if not WATCHES or not isinstance(address, tuple):
            return  # already gone, or no TCP
        with self._lock:
            self._peers[fd] = _Peer(address, self._clock(), most_bytes, answered)
        if not self._started:
            self._started = True
            self._worker.start()

    def ended(self, fd: int) -> None:
        """A connection ended."""
        with self._lock:
            self._peers.pop(fd, None)

    def close(self) -> None:
        """End the thread; idempotent."""
        self._worker.stop()
        if self._started:
            self._worker.join(1.0)

    def look(self) -> None:
        """Cut who has sent too much."""
        with self._lock:
            peers = [*self._peers.items()]
        for fd, peer in peers:
            spare = SPARE_BYTES_A_SECOND * (self._clock() - peer.since)
            if _with(fd, lambda each, peer=peer, spare=spare: _cut(each, peer, spare)):  # type: ignore[misc]
                self.cut += 1
                self.ended(fd)

    def _run(self, worker: Worker) -> None:
        while not worker.wait(LOOK_SECONDS):
            self.look()


def _cut(connection: socket.socket, peer: _Peer, spare: float) -> bool:
    if connection.getpeername() != peer.address:
        return False  # libzmq has closed it, and the number is somebody else's now
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    acked, received = _TCP_INFO_COUNTS.unpack_from(info, _TCP_INFO_OFFSET)
    if peer.answered and acked != peer.acked:
        peer.acked, peer.forgiven = acked, received
    if received - peer.forgiven <= peer.most_bytes + spare:
        return False
    connection.shutdown(socket.SHUT_RDWR)
    return True


def _with(fd: int, use: Callable[[socket.socket], object]) -> object:
    """Use a copy of the descriptor, which closing it does not close; None if it is gone."""
    try:
        with socket.socket(fileno=os.dup(fd)) as connection:
            return use(connection)
    except (OSError, struct.error):  # an older kernel counts less
        return None
