"""HTTP client of an embeddings server: kept connections, deadlines, one retry."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
import numpy as np

from egomon.branches.interfaces import Float32
from egomon.branches.remote.refusal import refusal
from egomon.errors import ConfigError, LargeEndpointError, MissingExtraError, UsageError

if TYPE_CHECKING:
    import httpx

LONGEST_SECONDS = 60.0
"""A call without a deadline, as in a replay, is given up after this."""
# A vector of 4096 numbers as JSON is under 100 KB; a server that sends without end is cut off.
MAX_ANSWER_BYTES = 4 << 20
RETRY_SECONDS = 0.1
"""Pause before the second attempt, unless the server says `Retry-After`."""
WORTH_SECONDS = 0.2
"""A second attempt with less time left could not succeed."""
_AGAIN = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)
_RESTARTED = (HTTPStatus.NOT_FOUND, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class LargeEndpoint:
    """Where the large model is served, and how many calls may be under way at a time."""

    url: str
    """Base address with `/v1`, without credentials."""
    model: str | None = None
    """Name under which the server knows the model; None = the only one that it serves."""
    api_key: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    """Certificates that an `https://` server is checked against; None = the system's."""
    in_flight: int = 4

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable or any(c.isspace() or not c.isprintable() for c in self.url):
            raise UsageError("--large-endpoint is no address; write http://HOST:PORT/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise UsageError(
                "--large-endpoint must hold no user, key or query: command lines can be read by "
                "others; put the key into EGOMON_LARGE_API_KEY or a file (large.api_key_file)"
            )
        if self.ca_file is not None and not self.ca_file.is_file():
            raise ConfigError(f"large.ca_file {self.ca_file} is no file; give one of certificates")


class _Vector(msgspec.Struct):
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Vector]


class ServedModel(msgspec.Struct, frozen=True):
    """One line of `/v1/models`."""

    id: str
    root: str | None = None
    max_model_len: int | None = None


class _Models(msgspec.Struct):
    data: list[ServedModel]


class EmbeddingsClient:
    """Calls one server; threads may share it.

    Args:
        endpoint: where it is.
        clock: seconds, for deadlines.
        wait: sleeps so many seconds.
        transport: how requests travel; None = the network.

    Raises:
        MissingExtraError: without httpx.
        ConfigError: the certificates cannot be read.
    """

    def __init__(
        self,
        endpoint: LargeEndpoint,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        try:
            import httpx
        except ImportError as error:
            raise MissingExtraError("--large-endpoint", "remote") from error
        self._httpx = httpx
        self.shown = endpoint.url.rstrip("/")
        self._clock, self._wait = clock, wait
        headers = {"Content-Type": "application/json", "User-Agent": "egomon"}
        if endpoint.api_key is not None:
            headers["Authorization"] = f"Bearer {endpoint.api_key}"
        logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request otherwise
        self._client = httpx.Client(
            headers=headers,
            verify=_certificates(endpoint.ca_file),
            limits=httpx.Limits(max_connections=endpoint.in_flight, keepalive_expiry=30.0),
            transport=transport,
        )

    def models(self, seconds: float | None = None) -> list[ServedModel]:
        """What the server serves, within so many seconds; None = `LONGEST_SECONDS`.

        Raises:
            LargeEndpointError: it does not answer, refuses, or is no such server.
        """
        answer = self._ask("GET", "models", None, seconds)
        try:
            return msgspec.json.decode(answer, type=_Models).data
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._foreign("models") from error

    def embedding(self, request: bytes, seconds: float | None) -> Float32:
        """The vector that answers a request, (D,) as the server gives it.

        Args:
            request: from `embedding_request`.
            seconds: time that is left for it; None = `LONGEST_SECONDS`.

        Raises:
            LargeEndpointError: no answer in time, a refusal, or no vector of finite values.
        """
        answer = self._ask("POST", "embeddings", request, seconds)
        try:
            (found,) = msgspec.json.decode(answer, type=_Answer).data
            vector = np.array(found.embedding, np.float32)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            raise self._foreign("embeddings") from error
        if not np.isfinite(vector).all() or not vector.any():
            raise LargeEndpointError(
                f"{self.shown} gave a vector that is zero or not finite; start it with another "
                "--dtype"
            )
        return vector

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _ask(self, method: str, what: str, body: bytes | None, seconds: float | None) -> bytes:
        deadline = self._clock() + (LONGEST_SECONDS if seconds is None else seconds)
        for attempt in (1, 2):
            pause: float | None = None
            try:
                code, answer, pause = self._once(method, what, body, deadline)
                if HTTPStatus.OK <= code < HTTPStatus.MULTIPLE_CHOICES:
                    return answer
                trouble = LargeEndpointError(
                    refusal(self.shown, code, answer), restarted=code in _RESTARTED
                )
            except self._httpx.TimeoutException:
                raise self._late() from None
            except self._httpx.HTTPError as error:
                # A kept connection may have ended meanwhile: a new one is worth an attempt.
                pause = RETRY_SECONDS
                trouble = LargeEndpointError(
                    f"{self.shown} does not answer ({_why(error)}); start the server or correct "
                    "the address",
                    restarted=True,
                )
            left = deadline - self._clock()
            if attempt == 2 or pause is None or left < pause + WORTH_SECONDS:
                raise trouble
            self._wait(pause)
        raise AssertionError  # the second attempt returns or raises

    def _once(
        self, method: str, what: str, body: bytes | None, deadline: float
    ) -> tuple[int, bytes, float | None]:
        """Status, body, and the pause after which it is worth asking again; None = never."""
        left = deadline - self._clock()
        if left <= 0:
            raise self._late()
        with self._client.stream(
            method, f"{self.shown}/{what}", content=body, timeout=left
        ) as response:
            parts, size = [], 0
            for part in response.iter_bytes():
                parts.append(part)
                size += len(part)
                if size > MAX_ANSWER_BYTES:
                    raise self._foreign(what)
                if self._clock() > deadline:  # httpx has a limit for each read, not for all
                    raise self._late()
            code = response.status_code
            again = _pause(response.headers.get("Retry-After")) if code in _AGAIN else None
            return code, b"".join(parts), again

    def _late(self) -> LargeEndpointError:
        return LargeEndpointError(
            f"{self.shown} did not answer in time; it is overloaded, or "
            "decision.refine_deadline_seconds is too short for it"
        )

    def _foreign(self, what: str) -> LargeEndpointError:
        return LargeEndpointError(
            f"{self.shown}/{what} does not answer as vLLM does; is this the address of its /v1?"
        )


def _certificates(file: Path | None) -> ssl.SSLContext | bool:
    if file is None:
        return True
    try:
        return ssl.create_default_context(cafile=file)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"large.ca_file {file} holds no certificates ({error})") from error


def _pause(retry_after: str | None) -> float:
    try:
        return max(RETRY_SECONDS, float(retry_after or 0))
    except ValueError:  # a date: no deadline of ours is so long
        return LONGEST_SECONDS


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__
