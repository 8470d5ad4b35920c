"""The sinks `http://` and `https://`: each message is the body of a POST, signed."""

from __future__ import annotations

import hmac
from http.client import HTTPException

from egomon.errors import DeliveryError, UsageError
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.session_file import encode_line
from egomon.fusion.sinks.http_connection import KeptConnection
from egomon.fusion.sinks.sink import SinkContext
from egomon.fusion.sinks.uri import parse_uri

TIMEOUT_SECONDS = 4.0
"""To connect, to send and to be answered, each; below the time that a run has for its last
messages."""
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
        ConfigError: secret, token or proxy cannot be used.
    """

    def __init__(self, reference: str) -> None:
        self._uri = parse_uri(reference, _OPTIONS)
        self.kinds = self._uri.kinds(("alert", "status"))
        self._secret = self._uri.secret("secret_file", SECRET)
        headers = {"Content-Type": "application/cloudevents+json", "User-Agent": "egomon"}
        token = self._uri.secret("token_file", TOKEN)
        if token is not None:
            if not token.isascii():
                raise UsageError(
                    f"{self._uri.shown}: the token has letters that no header may hold"
                )
            headers["Authorization"] = f"Bearer {token}"
        self._connection = KeptConnection(
            self._uri.base, headers, timeout_seconds=TIMEOUT_SECONDS, shown=self._uri.shown
        )

    def open(self, context: SinkContext) -> None:
        """See `Sink`; the first message connects."""

    def send(self, message: Message) -> None:
        """See `Sink`."""
        body = encode_line(message)[:-1]
        headers = {}
        if self._secret is not None:
            mac = hmac.digest(self._secret.encode(), body, "sha256")
            headers[SIGNATURE] = f"sha256={mac.hex()}"
        try:
            code = self._connection.post(body, headers)
        except (OSError, HTTPException) as error:
            raise DeliveryError(f"{self._uri.shown} does not answer: {error}") from error
        if code in _REFUSED:
            raise UsageError(f"{self._uri.shown} refuses this message with status {code}")
        if not 200 <= code < 300:
            raise DeliveryError(f"{self._uri.shown} answers with status {code}")

    def close(self) -> None:
        """See `Sink`."""
        self._connection.close()
