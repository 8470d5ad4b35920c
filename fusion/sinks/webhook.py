"""The sinks `http://` and `https://`: each message is the body of a POST, signed."""

from __future__ import annotations

import hmac
import logging
from typing import TYPE_CHECKING

from egomon.errors import DeliveryError, MissingExtraError, UsageError
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.session_file import encode_line
from egomon.fusion.sinks.sink import SinkContext
from egomon.fusion.sinks.uri import parse_uri

if TYPE_CHECKING:
    import httpx

TIMEOUT_SECONDS = 4.0
"""Of each wait for the server; below the time that a run has for its last messages."""
SIGNATURE = "X-Egomon-Signature-256"
SECRET = "EGOMON_WEBHOOK_SECRET"
TOKEN = "EGOMON_WEBHOOK_TOKEN"
_OPTIONS = ("kinds", "secret_file", "token_file")
# Answers that say that this very message will never be taken.
_REFUSED = (400, 413, 415, 422)


class WebhookSink:
    """Posts each message as one line of a recorded session, attachments included.

    With a secret, the header `X-Egomon-Signature-256` is `sha256=` and the hexadecimal
    HMAC-SHA256 of the body. Any answer but 2xx is tried again, those apart that refuse the body.

    Raises:
        UsageError: the reference is no address, or has an unknown option.
        ConfigError: secret or token cannot be used.
        MissingExtraError: without httpx.
    """

    def __init__(self, reference: str) -> None:
        self._uri = parse_uri(reference, _OPTIONS)
        self.kinds = self._uri.kinds(("alert", "status"))
        self._secret = self._uri.secret("secret_file", SECRET)
        self._token = self._uri.secret("token_file", TOKEN)
        if self._token is not None and not self._token.isascii():
            raise UsageError(f"{self._uri.shown}: the token has letters that no header may hold")
        self._client: httpx.Client | None = None
        try:
            import httpx
        except ImportError as error:
            raise MissingExtraError("a sink http(s)://", "sinks") from error
        try:
            httpx.URL(self._uri.base)
        except httpx.InvalidURL as error:
            raise UsageError(f"{self._uri.shown} is no address: {error}; correct it") from error

    def open(self, context: SinkContext) -> None:
        """See `Sink`."""
        import httpx

        headers = {"Content-Type": "application/cloudevents+json", "User-Agent": "egomon"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it would tell the whole address
        self._client = httpx.Client(headers=headers, timeout=TIMEOUT_SECONDS)

    def send(self, message: Message) -> None:
        """See `Sink`."""
        import httpx

        assert self._client is not None
        body = encode_line(message)[:-1]
        headers = {}
        if self._secret is not None:
            mac = hmac.digest(self._secret.encode(), body, "sha256")
            headers[SIGNATURE] = f"sha256={mac.hex()}"
        try:
            with self._client.stream(
                "POST", self._uri.base, content=body, headers=headers
            ) as response:
                code = response.status_code  # the body of the answer is not read
        except httpx.HTTPError as error:
            raise DeliveryError(f"{self._uri.shown} does not answer: {error}") from error
        if code in _REFUSED:
            raise UsageError(f"{self._uri.shown} refuses this message with status {code}")
        if not 200 <= code < 300:
            raise DeliveryError(f"{self._uri.shown} answers with status {code}")

    def close(self) -> None:
        """See `Sink`."""
        if self._client is not None:
            self._client.close()
