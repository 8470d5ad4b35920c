"""Removes passwords and tokens from addresses before they are shown or logged."""

from __future__ import annotations

import logging
import re

from egomon.text import printable

HIDDEN = "***"
_USER = re.compile(r"(?<=://)[^/\s]+@")
# A password with an unescaped slash: everything up to the last @; `host:8080/a@b` is left alone.
_ODD_USER = re.compile(r"(?<=://)[^/\s:@]+:(?!\d+/)\S*@")
# Everything else in a query is hidden: no list of names that mean a secret is ever complete.
_HARMLESS = (
    "fps size width height res resolution quality compression codec profile videocodec channel"
    " subtype stream streamprofile camera cam id video audio mode latency transport proto"
    " overrun_nonfatal fifo_size timeout start end t clock date rotation mirror snapshot action"
    " interval topic site qos"
)
_QUERY = re.compile(
    rf"([?&;#](?!(?:{_HARMLESS.replace(' ', '|')})=)[\w.%-]+=)[^&;\s#'\"]+", re.IGNORECASE
)
# A level of a path that no person would write: a key.
_KEY = re.compile(
    r"(://[^\s?#'\"]*?/)(?=[\w-]*\d)(?=[\w-]*[A-Za-z])"
    r"(?:[A-Za-z0-9_]{20,}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})(?=[/?#.\s'\"]|$)"
)
# Some cameras want `rtsp://host/user=admin_password=secret_channel=1`.
_PATH = re.compile(r"(/(?:user|usr|pass|password|token|auth|key)\w*?=)[^&;\s#/'\"]+", re.IGNORECASE)
# The whole path of an address that cameras push to is its key.
_PUSHED = re.compile(r"(rtmp\+listen://[^/\s]*/)[^\s'\"]+", re.IGNORECASE)


def redact(text: str) -> str:
    """Remove user names, passwords, keys in paths and query values that may be one from URLs.

    >>> redact("rtsp://me:hunter2@10.0.0.5/live?token=abc&fps=5")
    'rtsp://***@10.0.0.5/live?token=***&fps=5'
    """
    for pattern in (_USER, _ODD_USER):
        text = pattern.sub(f"{HIDDEN}@", text)
    for pattern in (_QUERY, _PATH, _PUSHED, _KEY):
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
