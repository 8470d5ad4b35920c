"""What a monitor does for those who ask: fields of a request, and the handler behind them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Protocol, TypeVar

import msgspec

from egomon.fusion.messages.envelope import SOURCE_NAME
from egomon.fusion.store.events import EventStore, FeedbackVerdict, StoredEvent
from egomon.fusion.transport.sequencer import Snapshot

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

logger = logging.getLogger(__name__)

# A subscriber that missed more asks again: between answers alerts go out.
SINCE_LIMIT = 1000
# An answer is made in the emit thread: a larger one would hold back alerts.
SINCE_MAX_BYTES = 512 << 10
# A day: a source that somebody muted and forgot speaks again.
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


class IdOnly(msgspec.Struct, frozen=True):
    """Enough of a request to answer it."""

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

    def model(self, model: str) -> bool:
        """Begin to turn to the bundle of this name; False where there is none."""

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
