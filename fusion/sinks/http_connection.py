"""A kept HTTP connection to one address, by the standard library: a fifth of httpx's CPU time."""

from __future__ import annotations

import io
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from egomon.errors import ConfigError, UsageError

KEEP_SECONDS = 5.0
"""A connection idle for longer is not used again: servers and routers forget it without a word."""
MAX_ANSWER_BYTES = 64 << 10
"""A longer answer is not read to its end: the next request has a new connection."""
_PORTS = {"http": 80, "https": 443}
# What an address may hold as it is; anything else, such as an umlaut, is percent-encoded.
_AS_WRITTEN = "!#$%&'()*+,/:;=?@[]~"


class KeptConnection:
    """Posts to one address; connects when it must.

    The proxy is that of `HTTP_PROXY`, `HTTPS_PROXY` or `ALL_PROXY`, unless `NO_PROXY` names the
    host. Certificates are checked against the system's, or those of `SSL_CERT_FILE`. Redirects
    are not followed. For one thread.

    Args:
        address: `http://` or `https://`; a user and password in it are sent as Basic.
        headers: of each request.
        timeout_seconds: to connect, to send a request, and to have its whole answer, each.
        shown: the address for messages, without its secrets.
        clock: monotonic seconds.

    Raises:
        UsageError: the host's name cannot be one.
        ConfigError: the proxy is none that it can use.
    """

    def __init__(
        self,
        address: str,
        headers: Mapping[str, str],
        *,
        timeout_seconds: float,
        shown: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        parts = urlsplit(address)
        assert parts.hostname is not None
        try:
            host = parts.hostname.encode("idna").decode()
        except UnicodeError as error:
            raise UsageError(f"{shown} is no address: {error}; correct its host") from error
        path = parts._replace(scheme="", netloc="", path=parts.path or "/").geturl()
        self._target = quote(path, safe=_AS_WRITTEN)
        self._headers = {**headers, **_credentials(parts, "Authorization")}
        port = parts.port or _PORTS[parts.scheme]
        proxy = _proxy_of(parts.scheme, f"{parts.hostname}:{port}", shown)
        via = (host, port) if proxy is None else (proxy.hostname or "", proxy.port or 80)
        self._connection = (
            HTTPSConnection(*via, timeout=timeout_seconds, context=ssl.create_default_context())
            if parts.scheme == "https"
            else HTTPConnection(*via, timeout=timeout_seconds)
        )
        if proxy is not None:
            credentials = _credentials(proxy, "Proxy-Authorization")
            if parts.scheme == "https":
                self._connection.set_tunnel(host, port, credentials)
            else:
                written = f"[{host}]" if ":" in host else host
                written += f":{parts.port}" if parts.port else ""
                self._target = f"http://{written}{self._target}"
                self._headers |= credentials
        self._clock, self._seconds, self._used = clock, timeout_seconds, 0.0
        self._until = 0.0
        self._connection.response_class = partial(  # type: ignore[assignment]  # it is only called
            _TimedAnswer, seconds_left=lambda: self._until - clock()
        )

    def post(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Post a body; returns the status of the answer.

        Raises:
            OSError: there is no connection, or no answer in time; also what TLS refuses.
            http.client.HTTPException: the answer is no HTTP.
        """
        if self._clock() - self._used > KEEP_SECONDS:
            self.close()
        if self._connection.sock is not None:
            # The far side may hang up at this very moment: the request is made again.
            with suppress(ConnectionError, ssl.SSLError):
                return self._post(body, headers)
        return self._post(body, headers)

    def close(self) -> None:
        """Hang up; idempotent, and `post` may follow."""
        self._connection.close()

    def _post(self, body: bytes, headers: Mapping[str, str]) -> int:
        is_read = False
        try:
            if self._connection.sock is None:
                self._until = self._clock() + self._seconds  # a proxy answers while connecting
                self._connection.connect()
            self._connection.sock.settimeout(self._seconds)
            self._connection.request("POST", self._target, body, {**self._headers, **headers})
            self._until = self._clock() + self._seconds
            answer = self._connection.getresponse()
            with suppress(OSError, HTTPException):  # its status has come
                is_read = self._read(answer)
            return answer.status
        finally:
            if not is_read:
                self.close()
            self._used = self._clock()

    @staticmethod
    def _read(answer: HTTPResponse) -> bool:
        """Read a body to its end; False where it is too long."""
        left = MAX_ANSWER_BYTES
        while left > 0 and (piece := answer.read1(left)):
            left -= len(piece)
        if answer.length == 0:  # `read1` leaves it open
            answer.close()
        return answer.isclosed()


class _TimedAnswer(HTTPResponse):
    """Must be there within a time as a whole: bytes that come one by one make it no longer."""

    def __init__(
        self, sock: socket.socket, *args: Any, seconds_left: Callable[[], float], **kwargs: Any
    ) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedReader(sock, self.fp.detach(), seconds_left))


class _TimedReader(io.RawIOBase):
    """Reads from a socket's file until a time has passed; then raises a TimeoutError."""

    def __init__(
        self, sock: socket.socket, raw: io.RawIOBase, seconds_left: Callable[[], float]
    ) -> None:
        self._socket, self._raw, self._seconds_left = sock, raw, seconds_left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._seconds_left()
        if left <= 0:
            raise TimeoutError("its answer does not end")
        self._socket.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _proxy_of(scheme: str, host: str, shown: str) -> SplitResult | None:
    """Address of the proxy that the environment names for a host."""
    proxies = getproxies()
    text = proxies.get(scheme) or proxies.get("all")
    if not text or proxy_bypass(host):
        return None
    with suppress(ValueError):  # its words may be those of the password
        parts = urlsplit(text if "://" in text else f"http://{text}")
        if parts.scheme == "http" and parts.hostname and parts.port != 0:
            return parts
    raise ConfigError(
        f"{shown}: the proxy of {scheme.upper()}_PROXY or ALL_PROXY cannot be used (it is no "
        "http://HOST:PORT); correct it, or name the host in NO_PROXY"
    )


def _credentials(parts: SplitResult, header: str) -> dict[str, str]:
    if not parts.username and not parts.password:
        return {}
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return {header: f"Basic {b64encode(pair.encode()).decode()}"}
