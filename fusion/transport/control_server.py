"""Requests to the monitor: parse, dispatch, answer. Uses no sockets.

A request is `{"id": ..., "verb": ..., ...}`, an answer `{"id", "ok": true, ...}` or
`{"id", "ok": false, "error": {"code", "message"}}`. Whatever arrives is answered, never fatal,
and nothing in it is ever used as a path.
"""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Protocol, TypeVar

import msgspec

from egomon.errors import EgomonError, StoreError
from egomon.fusion.messages.envelope import MAJOR, SOURCE_NAME
from egomon.fusion.store.events import EventStore, FeedbackVerdict, StoredEvent
from egomon.fusion.transport.sequencer import Snapshot

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

logger = logging.getLogger(__name__)

SINCE_LIMIT = 1000
SINCE_MAX_BYTES = 512 << 10
MOST_MUTE_SECONDS = 86_400

_Name = Annotated[str, msgspec.Meta(max_length=256)]
_Id = (
    Annotated[str, msgspec.Meta(max_length=64)]
    | Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Every field that any verb takes."""

    id: _Id | None = None
    verb: Annotated[str, msgspec.Meta(max_length=32)]
    prefix: _Name = ""
    """snapshot, since: only topics that start with it."""
    boot: _Name | None = None
    seq: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=SINCE_LIMIT)] = SINCE_LIMIT
    source: Annotated[str, msgspec.Meta(pattern=rf"\A{SOURCE_NAME}\Z")] | None = None
    alert_id: _Name | None = None
    by: _Name = ""
    verdict: FeedbackVerdict | None = None
    note: Annotated[str, msgspec.Meta(max_length=4096)] = ""
    seconds: Annotated[float, msgspec.Meta(ge=0, le=MOST_MUTE_SECONDS)] | None = None
    """mute: for so long."""
    model: _Name | None = None
    """model: a name, never a path."""


class _IdOnly(msgspec.Struct, frozen=True):
    id: _Id | None = None


class ControlHandler(Protocol):
    """Operations that requests call, in the thread that calls `EventServer.serve_requests`."""

    def snapshot(self, prefix: str) -> Snapshot:
        """Open alerts and last statuses."""

    def since(self, boot: str, seq: int, prefix: str, limit: int) -> Sequence[StoredEvent] | None:
        """Events after `(boot, seq)`; None where some of them are gone."""

    def reset_context(self, source: str) -> bool:
        """Forget the workflow so far of a source; False where there is no such source."""

    def ack(self, alert_id: str, by: str) -> bool:
        """Note who has seen an alert; False where there is no such alert."""

    def feedback(self, alert_id: str, verdict: FeedbackVerdict, note: str) -> bool:
        """Note a verdict; False where there is no such alert."""

    def alert(self, alert_id: str) -> Mapping[str, Any] | None:
        """One alert, or None."""

    def stats(self) -> Mapping[str, Any]:
        """Counters, as JSON types."""

    @property
    def operations(self) -> Operations | None:
        """What else the monitor does; None where it does nothing else."""


class Operations(Protocol):
    """What a monitor does on request, besides answering from its store."""

    def picture(self, source: str) -> bytes | None:
        """The newest picture as a JPEG; None where there is none."""

    def mute(self, seconds: float) -> bool:
        """Keep this machine's speech and tones silent for so long; 0 ends it."""

    def use_model(self, name: str) -> bool:
        """Begin to turn to another bundle; False where it has no such name."""

    def stop(self) -> bool:
        """End the run in order."""


class StoreControl:
    """The handler that answers from the store; the monitor supplies the callables.

    Args:
        store: holds events and alerts.
        snapshot: `EventServer.snapshot`.
        reset_context: gets a source name; False where there is no such source.
        stats: counters, as JSON types.
        operations: what else the monitor does; None does nothing else.
        wall_clock_ns: time of acknowledgements and feedback.
    """

    def __init__(
        self,
        store: EventStore,
        snapshot: Callable[[str], Snapshot],
        *,
        reset_context: Callable[[str], bool],
        stats: Callable[[], Mapping[str, Any]],
        operations: Operations | None = None,
        wall_clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._store = store
        self._snapshot = snapshot
        self._reset_context = reset_context
        self._stats = stats
        self.operations = operations
        self._wall_clock_ns = wall_clock_ns

    def snapshot(self, prefix: str) -> Snapshot:
        """Open alerts and last statuses."""
        return self._snapshot(prefix)

    def since(self, boot: str, seq: int, prefix: str, limit: int) -> list[StoredEvent] | None:
        """Events after `(boot, seq)`; None where some of them are gone."""
        if not self._store.covers(boot, seq):
            return None
        return self._store.since(boot, seq, limit, prefix=prefix, max_bytes=SINCE_MAX_BYTES)

    def reset_context(self, source: str) -> bool:
        """Forget the workflow so far of a source."""
        return self._reset_context(source)

    def ack(self, alert_id: str, by: str) -> bool:
        """Store who has seen an alert."""
        return self._store.ack(alert_id, by, self._wall_clock_ns())

    def feedback(self, alert_id: str, verdict: FeedbackVerdict, note: str) -> bool:
        """Store a verdict."""
        return self._store.feedback(alert_id, verdict, note, self._wall_clock_ns())

    def alert(self, alert_id: str) -> Mapping[str, Any] | None:
        """Latest revision and what people said about it."""
        row = self._store.alert(alert_id)
        return None if row is None else {"alert": row}

    def stats(self) -> Mapping[str, Any]:
        """Counters of the monitor."""
        return self._stats()


class _RefusedError(Exception):
    """An answer with `ok: false`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def answer(body: bytes, handler: ControlHandler, boot: str) -> bytes:
    """Answer one request; never raises, whatever the request contains."""
    request_id: str | int | None = None
    try:
        request_id = _decode(body, _IdOnly).id
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
    _found(_operations(handler).use_model(name), told)
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
