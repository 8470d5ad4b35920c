"""Who may see the live page: this machine without a token, anybody else with it."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Mapping

from egomon.errors import ConfigError

COOKIE = "egomon_session"
TOKEN_BYTES = 12
"""96 bits: 16 characters, short enough to be copied by hand and too many to be guessed."""


def is_loopback(host: str) -> bool:
    """Whether an address or name means this machine.

    >>> is_loopback("127.0.0.2"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def host_name(header: str) -> str:
    """Name in a Host header, without the port.

    >>> host_name("[::1]:8000"), host_name("localhost:8000")
    ('::1', 'localhost')
    """
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.rpartition(":")[0] if ":" in header else header


def parse_address(address: str) -> tuple[str, int]:
    """Host and port to listen on.

    Raises:
        ConfigError: not of the form `host:port`.

    >>> parse_address("[::]:8080"), parse_address("0.0.0.0:0")
    (('::', 8080), ('0.0.0.0', 0))
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"the live page cannot listen on {address!r}; write 127.0.0.1:8080")
    return host.strip("[]"), int(port)


def new_token() -> str:
    """What others must type to see the page of this run."""
    return secrets.token_urlsafe(TOKEN_BYTES)


class Access:
    """Rules for one run of the page.

    Without a token a request must name this machine in its Host header; otherwise a hostile web
    page could reach the monitor by pointing its own name at the loopback address. With a token a
    request carries it as a bearer header, or the session cookie that the login gave. The token
    itself is in no address and no cookie.
    """

    def __init__(self, token: str | None) -> None:
        self._token = token
        self._session = secrets.token_urlsafe(32)

    @property
    def needs_token(self) -> bool:
        """Whether a login is asked for."""
        return self._token is not None

    def allows(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> bool:
        """Whether a request may be answered."""
        if self._token is None:
            return is_loopback(host_name(headers.get("host", "")))
        return self.has_bearer(headers) or _equal(cookies.get(COOKIE, ""), self._session)

    def has_bearer(self, headers: Mapping[str, str]) -> bool:
        """Whether the header carries the token, which no other web page can make a browser do."""
        kind, _, value = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and self.is_token(value)

    def is_token(self, value: str) -> bool:
        """Whether this is the token; takes equally long for any value."""
        return self._token is not None and _equal(value, self._token)

    def is_same_origin(self, headers: Mapping[str, str]) -> bool:
        """Whether a change was asked for by this page and not by another one."""
        origin, host = headers.get("origin", ""), headers.get("host", "")
        return bool(host) and origin in {f"http://{host}", f"https://{host}"}

    @property
    def session(self) -> str:
        """Value of the cookie after a login."""
        return self._session


def _equal(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode(), known.encode())
