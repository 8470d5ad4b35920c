"""Removes passwords and tokens from addresses before they are shown or logged."""

from __future__ import annotations

import logging
import re

from egomon.text import printable

HIDDEN = "***"
_USER = re.compile(r"(?<=://)[^/\s]+@")
# A password with an unescaped slash: everything up to the last @; `host:8080/a@b` is left alone.
_ODD_USER = re.compile(r"(?<=://)[^/\s:@]+:(?!\d+/)\S*@")
_NAME = r"[\w-]*(?:pass|pwd|token|secret|key|auth|sig|cred|session|jwt|user|usr|login)[\w-]*="
_QUERY = re.compile(rf"([?&;#]{_NAME})[^&;\s#'\"]+", re.IGNORECASE)
# Some cameras want `rtsp://host/user=admin_password=secret_channel=1`.
_PATH = re.compile(r"(/(?:user|usr|pass|password|token|auth|key)\w*?=)[^&;\s#/'\"]+", re.IGNORECASE)
# The whole path of an address that cameras push to is its key.
_PUSHED = re.compile(r"(rtmp\+listen://[^/\s]*/)[^\s'\"]+", re.IGNORECASE)


def redact(text: str) -> str:
    """Remove user names, passwords and token-like query values from all URLs in a text.

    >>> redact("rtsp://me:hunter2@10.0.0.5/live?token=abc&fps=5")
    'rtsp://***@10.0.0.5/live?token=***&fps=5'
    """
    for pattern in (_USER, _ODD_USER):
        text = pattern.sub(f"{HIDDEN}@", text)
    for pattern in (_QUERY, _PATH, _PUSHED):
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    return text


class RedactFilter(logging.Filter):
    """Redacts messages and tracebacks and makes them printable; for handlers, which see all."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record in place and let it pass."""
        record.msg, record.args = printable(redact(record.getMessage())), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = printable(redact(record.exc_text))
        return True
