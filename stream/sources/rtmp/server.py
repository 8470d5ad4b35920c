"""The listening side: one socket for all keys of an address, one camera at a time for a key."""

from __future__ import annotations

import hmac
import logging
import socket
import threading
from typing import ClassVar

from egomon.errors import AddressInUseError, UsageError
from egomon.stream.sources.rtmp.session import RtmpError, RtmpSession

logger = logging.getLogger(__name__)

MOST_CONNECTIONS = 16
"""Cameras that shake hands at the same time."""
# `close` must not wait for a camera that never comes.
ACCEPT_SECONDS = 0.2
PENALTY_SECONDS = 1.0
"""A wrong key is answered so much later: keys cannot be tried quickly."""


class StreamSlot:
    """Where the camera of one key is put."""

    def __init__(self, key: str) -> None:
        self.key = key
        self._changed = threading.Condition()
        self._waiting: RtmpSession | None = None
        self._active: RtmpSession | None = None

    def matches(self, path: str) -> bool:
        """Whether `app/name` is the key, or ends with it where the key is one word."""
        said = path if "/" in self.key else path.rpartition("/")[2]
        return hmac.compare_digest(said.encode(), self.key.encode())

    def offer(self, session: RtmpSession) -> bool:
        """Put a camera here; False where there is one."""
        with self._changed:
            if any(each is not None and each.is_open for each in (self._waiting, self._active)):
                return False
            self._waiting = session
            self._changed.notify()
            return True

    def take(self, timeout_seconds: float) -> RtmpSession | None:
        """The camera that came, if one comes in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None, timeout_seconds)
            self._active, self._waiting = self._waiting, None
            return self._active

    def clear(self) -> None:
        """Send away who is here."""
        with self._changed:
            for each in (self._waiting, self._active):
                if each is not None:
                    each.close()


class RtmpServer:
    """Accepts cameras and checks their keys; shared by the sources of one address."""

    _servers: ClassVar[dict[tuple[str, int], RtmpServer]] = {}
    _all = threading.Lock()

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family)
        except OSError as error:
            if error.errno == 98:
                text = f"rtmp+listen://{host}:{port} is in use; choose another port"
                raise AddressInUseError(text) from None
            text = f"cannot listen at {host}:{port}: {error.strerror}"
            raise UsageError(text) from None
        self._socket.settimeout(ACCEPT_SECONDS)
        self.port: int = self._socket.getsockname()[1]
        self._places: list[StreamSlot] = []
        self._stop = threading.Event()
        self._slots = threading.Semaphore(MOST_CONNECTIONS)
        self._thread = threading.Thread(target=self._accept, name="rtmp accept", daemon=True)
        self._thread.start()
        if host not in ("127.0.0.1", "::1"):
            logger.warning("rtmp+listen://%s:%d: who knows a key can send video", host, self.port)

    @classmethod
    def place(cls, host: str, port: int, key: str) -> tuple[RtmpServer, StreamSlot]:
        """A place for a key, at the server of this address.

        Raises:
            AddressInUseError: another program listens there.
            UsageError: the key is taken, or the address is not this machine's.
        """
        with cls._all:
            server = cls._servers.get((host, port)) if port else None
            if server is None:
                server = cls(host, port)
                cls._servers[host, server.port] = server
            if any(place.key == key for place in server._places):
                raise UsageError("two cameras cannot have one key; give each its own")
            place = StreamSlot(key)
            server._places.append(place)
            return server, place

    def leave(self, place: StreamSlot) -> None:
        """Give a place back; the last one closes the socket."""
        with self._all:
            place.clear()
            if place in self._places:
                self._places.remove(place)
            if self._places or self._stop.is_set():
                return
            self._stop.set()
            for address in [each for each, server in self._servers.items() if server is self]:
                del self._servers[address]
        self._thread.join(1)
        self._socket.close()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                connection, (address, *_) = self._socket.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            if not self._slots.acquire(blocking=False):
                connection.close()
                continue
            threading.Thread(
                target=self._greet, args=(connection, address), name="rtmp greet", daemon=True
            ).start()

    def _greet(self, connection: socket.socket, address: str) -> None:
        found: list[StreamSlot] = []

        def accepts(path: str) -> bool:
            found.extend(place for place in list(self._places) if place.matches(path))
            return bool(found)

        try:
            session = RtmpSession(connection, accepts)
            if not found[0].offer(session):
                logger.warning("rtmp: %s has the key of a camera that is there already", address)
                session.refuse("this key is in use")
        except RtmpError as error:
            logger.warning("rtmp: %s %s; it is refused", address, error)
            self._stop.wait(PENALTY_SECONDS)
            connection.close()
        finally:
            self._slots.release()
