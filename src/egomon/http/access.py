"""Access rules: this machine needs no token, others do, foreign web pages are refused."""

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
    """Return whether an address or name means this machine.

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


def parse_address(address: str, *, option: str, example: str) -> tuple[str, int]:
    """Host and port to listen on.

    Args:
        address: `host:port`.
        option: the command-line option that sets it, for the message.
        example: an address that would do, for the message.

    Raises:
        ConfigError: not of the form `host:port`.

    >>> parse_address("[::]:8080", option="--metrics", example="127.0.0.1:9464")
    ('::', 8080)
    """
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal() and int(port) < 65536):
        raise ConfigError(f"{option} {address!r} is no address; write {example}")
    return host.strip("[]"), int(port)


def new_token() -> str:
    """Make the token that other machines need to see the page of this run."""
    return secrets.token_urlsafe(TOKEN_BYTES)


class Access:
    """Rules of one address for one run.

    A request must name this machine in its Host header; otherwise a hostile web page could reach
    the monitor by pointing its own name at the loopback address. Where other machines may ask,
    under names that are not known here, a token stands in: as a bearer header, or as the session
    cookie that the login gave. The token itself is in no address and no cookie.

    Args:
        token: asked of every request that is guarded; None asks for none.
        any_host: other machines may ask without a token, as the user insisted.
    """

    def __init__(self, token: str | None = None, *, any_host: bool = False) -> None:
        self._token = token
        self._session = secrets.token_urlsafe(32)
        self._any_host = any_host or token is not None

    def is_known_host(self, headers: Mapping[str, str]) -> bool:
        """Return whether the Host header names this address."""
        return self._any_host or is_loopback(host_name(headers.get("host", "")))

    def is_foreign(self, headers: Mapping[str, str]) -> bool:
        """Return whether another web page made a browser send the request.

        `Sec-Fetch-Site` tells it also of pictures and frames, which carry no Origin; browsers send
        it to this machine and over TLS only.
        """
        if self.has_bearer(headers):
            return False
        site = headers.get("sec-fetch-site", "none")
        foreign_origin = "origin" in headers and not self.is_same_origin(headers)
        return foreign_origin or site not in ("none", "same-origin")

    def is_allowed(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> bool:
        """Return whether a request carries the token, if one is required."""
        if self._token is None or self.has_bearer(headers):
            return True
        return _equal(cookies.get(COOKIE, ""), self._session)

    def has_bearer(self, headers: Mapping[str, str]) -> bool:
        """Return whether the header carries the token; no other page can make a browser do so."""
        kind, _, value = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and self.is_token(value)

    def is_token(self, value: str) -> bool:
        """Compare with the token, in constant time."""
        return self._token is not None and _equal(value, self._token)

    def is_same_origin(self, headers: Mapping[str, str]) -> bool:
        """Return whether this page, and no other one, requested a change."""
        origin, host = headers.get("origin", ""), headers.get("host", "")
        return bool(host) and origin in {f"http://{host}", f"https://{host}"}

    @property
    def session(self) -> str:
        """Value of the cookie after a login."""
        return self._session


def _equal(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode(), known.encode())
