"""Answers requests: parse, dispatch, answer. Uses no sockets.

A request is `{"id": ..., "verb": ..., ...}`, an answer `{"id", "ok": true, ...}` or
`{"id", "ok": false, "error": {"code", "message"}}`. Whatever arrives is answered, never fatal,
and nothing in it is ever used as a path.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from egomon.errors import EgomonError, StoreError
from egomon.fusion.messages.envelope import MAJOR
from egomon.fusion.store.events import FeedbackVerdict, StoredEvent
from egomon.fusion.transport.control_server import (
    SINCE_MAX_BYTES,
    ControlHandler,
    IdOnly,
    Operations,
    Request,
)

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

logger = logging.getLogger(__name__)


class _RefusedError(Exception):
    """An answer with `ok: false`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def answer(body: bytes, handler: ControlHandler, boot: str) -> bytes:
    """Answer one request; never raises, whatever the request contains."""
    request_id: str | int | None = None
    try:
        request_id = _decode(body, IdOnly).id
        request = _decode(body, Request)
        verb = _VERBS.get(request.verb)
        if verb is None:
            raise _RefusedError("unknown_verb", f"known verbs: {', '.join(_VERBS)}")
        return _encode({"id": request_id, "ok": True, **verb(request, handler, boot)})
    except _RefusedError as refusal:
        return refuse(request_id, refusal.code, str(refusal))
    except StoreError as error:
        logger.warning("a control request failed: %s", error)
        return refuse(request_id, "store_error", "the event store refused; try again later")
    except EgomonError as error:
        logger.warning("a control request failed: %s", error)
        return refuse(request_id, "failed", "the monitor could not do it; its log says why")


def refuse(request_id: str | int | None, code: str, message: str) -> bytes:
    """An answer with `ok: false`."""
    error = {"code": code, "message": message}
    return _encode({"id": request_id, "ok": False, "error": error})


def _decode(body: bytes, kind: type[S]) -> S:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _RefusedError("bad_request", f"not a request: {error}") from error


def _encode(message: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(message)


def _events(events: Sequence[StoredEvent]) -> list[dict[str, Any]]:
    return [{"topic": e.topic, "envelope": msgspec.Raw(e.envelope)} for e in events]


def _hello(request: Request, handler: ControlHandler, boot: str) -> dict[str, Any]:
    return {"schema": MAJOR, "boot": boot, "verbs": list(_VERBS)}


def _on_snapshot(request: Request, handler: ControlHandler, boot: str) -> dict[str, Any]:
    found = handler.snapshot(request.prefix)
    return {
        "boot": found.boot,
        "seq": found.seq,
        "tseq": found.tseq,
        "events": _events(found.events),
    }


def _on_since(request: Request, handler: ControlHandler, boot: str) -> dict[str, Any]:
    found = handler.since(request.boot or boot, request.seq, request.prefix, request.limit)
    if found is None:
        raise _RefusedError("too_old", "events after this one are no longer stored; ask a snapshot")
    total, count = 0, 0
    for event in found:
        total += len(event.envelope)
        if count and total > SINCE_MAX_BYTES:  # one at least: the reader asks on from the last
            break
        count += 1
    more = count < len(found) or len(found) == request.limit
    return {"boot": boot, "events": _events(found[:count]), "more": more}


def _on_reset(request: Request, handler: ControlHandler, boot: str) -> dict[str, Any]:
    source = _need(request.source, "source")
    _found(handler.reset_context(source), f"no source {source}")
    return {}


def _on_ack(request: Request, handler: ControlHandler, boot: str) -> dict[str, Any]:
    _found(handler.ack(_need(request.alert_id, "alert_id"), request.by), "no such alert")
    return {}


def _on_feedback(request: Request, handler: ControlHandler, boot: str) -> dict[str, Any]:
    alert_id = _need(request.alert_id, "alert_id")
    verdict: FeedbackVerdict = _need(request.verdict, "verdict")
    _found(handler.feedback(alert_id, verdict, request.note), "no such alert")
    return {}


def _on_alert(request: Request, handler: ControlHandler, boot: str) -> dict[str, Any]:
    return dict(_found(handler.alert(_need(request.alert_id, "alert_id")), "no such alert"))


def _on_stats(request: Request, handler: ControlHandler, boot: str) -> dict[str, Any]:
    return {"stats": handler.stats()}


def _on_picture(request: Request, handler: ControlHandler, boot: str) -> dict[str, Any]:
    source = _need(request.source, "source")
    jpeg = _found(_operations(handler).picture(source), f"no picture of {source} yet")
    return {"media_type": "image/jpeg", "picture": base64.b64encode(jpeg).decode()}


def _on_mute(request: Request, handler: ControlHandler, boot: str) -> dict[str, Any]:
    _operations(handler).mute(_need(request.seconds, "seconds"))
    return {}


def _on_model(request: Request, handler: ControlHandler, boot: str) -> dict[str, Any]:
    name = _need(request.model, "model")
    told = f"no bundle is called {name}; names stand in `model.others` of the settings"
    _found(_operations(handler).model(name), told)
    return {}


def _on_stop(request: Request, handler: ControlHandler, boot: str) -> dict[str, Any]:
    _operations(handler).stop()
    return {}


def _operations(handler: ControlHandler) -> Operations:
    if handler.operations is None:
        raise _RefusedError("unsupported", "a recorded session does nothing of this")
    return handler.operations


def _need(value: T | None, name: str) -> T:
    if value is None:
        raise _RefusedError("bad_request", f"this verb needs {name}")
    return value


def _found(value: T | None, message: str) -> T:
    if not value:
        raise _RefusedError("not_found", message)
    return value


_VERBS: dict[str, Callable[[Request, ControlHandler, str], dict[str, Any]]] = {
    "hello": _hello,
    "snapshot": _on_snapshot,
    "since": _on_since,
    "reset-context": _on_reset,
    "ack": _on_ack,
    "feedback": _on_feedback,
    "alert.get": _on_alert,
    "stats": _on_stats,
    "picture": _on_picture,
    "mute": _on_mute,
    "model": _on_model,
    "stop": _on_stop,
}
