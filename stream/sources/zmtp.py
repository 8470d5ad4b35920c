"""The receiving end of ZeroMQ's PUSH and PULL, with bounds on whole messages (ZMTP 3.1, RFC 37).

libzmq bounds each part of a message, not their sum: one message without end filled the memory
(+570 MB). It never shows an unfinished message, so the bound has to stand where the bytes arrive.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator

# A camera that restarts leaves its old connection behind for a while.
MOST_PEERS = 4
# Two are a frame; more are dropped with their message, but must not pile up.
MOST_PARTS = 8
PIECE_BYTES = 1 << 18
# ZMTP 3.1, 2.1: signature, version, mechanism, as-server, filler.
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
MORE, LONG, COMMAND = 1, 2, 4


class ZmtpError(Exception):
    """A peer breaks the protocol or its bounds."""


class Peer:
    """One sender.

    Args:
        connection: accepted; set to not block.
        most_bytes: of one message.
    """

    def __init__(self, connection: socket.socket, most_bytes: int) -> None:
        self.socket, self._most_bytes = connection, most_bytes
        self.heard_at = time.monotonic()
        self._data = bytearray()
        self._parts: list[bytes] = []
        self._greeted = self._is_ready = False
        connection.setblocking(False)
        connection.sendall(GREETING)

    def feed(self) -> Iterator[list[bytes]]:
        """Receive what is there; the messages that end in it.

        Raises:
            ZmtpError: it breaks the protocol, sends too much, or has hung up.
        """
        try:
            piece = self.socket.recv(PIECE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            raise ZmtpError("hung up")
        self.heard_at = time.monotonic()
        self._data += piece
        if not self._greeted and not self._greet():
            return
        while (frame := self._frame()) is not None:
            flags, body = frame
            if flags & COMMAND:
                self._obey(body)
                continue
            if not self._is_ready:
                raise ZmtpError("sends before it is ready")
            self._parts.append(body)
            if not flags & MORE:
                message, self._parts = self._parts, []
                yield message

    def _greet(self) -> bool:
        if len(self._data) < len(GREETING):
            return False
        greeting = bytes(self._data[: len(GREETING)])
        del self._data[: len(GREETING)]
        if greeting[0] != 0xFF or greeting[10] < 3 or greeting[12:32].rstrip(b"\0") != b"NULL":
            raise ZmtpError("does not speak ZMTP 3 without a password")
        kind = b"\x0bSocket-Type" + (4).to_bytes(4, "big") + b"PULL"
        self._send_command(b"\x05READY" + kind)
        self._greeted = True
        return True

    def _frame(self) -> tuple[int, bytes] | None:
        """The next whole frame; None while it is still coming."""
        if not self._data:
            return None
        flags = self._data[0]
        head = 9 if flags & LONG else 2
        if len(self._data) < head:
            return None
        length = int.from_bytes(self._data[1:head], "big")
        if sum(map(len, self._parts)) + length > self._most_bytes:
            raise ZmtpError("sends a message that is too large")
        if len(self._parts) >= MOST_PARTS:
            raise ZmtpError("sends a message of too many parts")
        if len(self._data) < head + length:
            return None
        body = bytes(self._data[head : head + length])
        del self._data[: head + length]
        return flags, body

    def _obey(self, command: bytes) -> None:
        if command.startswith(b"\x05READY"):
            self._is_ready = True
        elif command.startswith(b"\x04PING"):
            self._send_command(b"\x04PONG" + command[7:23])

    def _send_command(self, body: bytes) -> None:
        try:
            self.socket.sendall(bytes([COMMAND, len(body)]) + body)
        except OSError:
            raise ZmtpError("does not listen") from None


class PullSocket:
    """Messages of all senders, one after another; used by one thread.

    Args:
        host: address of this machine.
        port: 0 = any.
        most_bytes: of one message.

    Raises:
        OSError: it cannot listen there.
    """

    def __init__(self, host: str, port: int, most_bytes: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._most_bytes = most_bytes
        self._listener = socket.create_server((host, port), family=family)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._peers: dict[socket.socket, Peer] = {}
        self.refused = 0
        """Peers that were sent away for what they sent."""

    def receive(self, timeout_seconds: float) -> list[list[bytes]]:
        """The messages that are there, after waiting so long for the first."""
        found: list[list[bytes]] = []
        for key, _ in self._selector.select(timeout_seconds):
            if key.fileobj is self._listener:
                self._accept()
                continue
            peer = self._peers.get(key.fileobj)  # type: ignore[call-overload]
            if peer is None:
                continue  # sent away for the one that was accepted just now
            try:
                found.extend(peer.feed())
            except ZmtpError as error:
                self.refused += str(error) != "hung up"
                self._drop(peer)
        return found

    def close(self) -> None:
        """Hang up on all, and stop listening."""
        for peer in list(self._peers.values()):
            self._drop(peer)
        self._selector.close()
        self._listener.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
            peer = Peer(connection, self._most_bytes)
        except OSError:
            return
        if len(self._peers) >= MOST_PEERS:
            self._drop(min(self._peers.values(), key=lambda each: each.heard_at))
        self._peers[connection] = peer
        self._selector.register(connection, selectors.EVENT_READ)

    def _drop(self, peer: Peer) -> None:
        self._selector.unregister(peer.socket)
        peer.socket.close()
        del self._peers[peer.socket]
