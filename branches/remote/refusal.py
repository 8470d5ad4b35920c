"""Sentences for what an embeddings server refuses."""

from __future__ import annotations

import contextlib
from http import HTTPStatus

import msgspec

from egomon.stream.redact import redact
from egomon.text import printable

API_KEY = "EGOMON_LARGE_API_KEY"
"""Environment variable of the key; `large.api_key_file` is the other way."""
# Characters of the server's own words that are shown.
_LONGEST = 240


class _Told(msgspec.Struct):
    message: str = ""


class _Body(msgspec.Struct):
    error: _Told | str = ""


def refusal(shown: str, code: int, body: bytes) -> str:
    """One sentence: what the server at `shown` refuses, why, and what to do.

    Args:
        shown: address without credentials.
        code: status of the answer, not 2xx.
        body: JSON as vLLM writes it, or anything else.
    """
    words = _words(body)
    told = f": {words}" if words else ""
    if code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return (
            f"{shown} refuses the key (status {code}); give the right one in {API_KEY} or in the "
            "file of large.api_key_file"
        )
    if code == HTTPStatus.NOT_FOUND and "does not exist" in words:
        return f"{shown} serves no such model{told}; name one of its own in large.model"
    if code in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
        return (
            f"{shown} has no embeddings (status {code}): it is no vLLM, or it serves no pooling "
            "model; `egomon serve-large` prints the command"
        )
    if code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return (
            f"{shown} or a proxy before it takes no request of this size (status {code}); raise "
            "its limit"
        )
    if "trust-request-mm-kwargs" in words:
        return f"{shown} was started without --trust-request-mm-kwargs; start it with that flag"
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        return f"{shown} has too many requests (status {code}); ask less or add a server"
    if code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return f"{shown} failed (status {code}){told}; see its log"
    return f"{shown} refuses the request (status {code}){told}; compare it: `serve-large --check`"


def _words(body: bytes) -> str:
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        error = msgspec.json.decode(body, type=_Body).error
        text = error if isinstance(error, str) else error.message
        return " ".join(printable(redact(text)).split())[:_LONGEST]
    return ""
