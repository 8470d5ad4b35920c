"""The protocol of sinks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from egomon.fusion.messages.message import Message

MOST_SEEN = 1000


class Mute:
    """Whether this machine's speech and tones are silent; for any thread.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._until = clock, 0.0

    def begin(self, seconds: float) -> None:
        """Be silent for so long from now on; 0 ends it."""
        self._until = self._clock() + seconds

    @property
    def is_on(self) -> bool:
        """Whether it lasts."""
        return self._clock() < self._until


class SeenAlerts:
    """Alerts that somebody has seen, as long as the run lasts; for any thread.

    Args:
        is_stored: whether the store has an acknowledgement or a verdict of this alert.
    """

    def __init__(self, is_stored: Callable[[str], bool] = lambda alert_id: False) -> None:
        self._is_stored = is_stored
        self._seen: dict[str, None] = {}

    def add(self, alert_id: str) -> None:
        """Somebody has seen it; the newest thousand are remembered."""
        self._seen[alert_id] = None
        for oldest in list(self._seen)[:-MOST_SEEN]:
            self._seen.pop(oldest, None)

    def __contains__(self, alert_id: str) -> bool:
        return alert_id in self._seen or self._is_stored(alert_id)


@dataclass(frozen=True, slots=True, eq=False)
class SinkContext:
    """Context in which a sink is opened."""

    sources: tuple[str, ...] = ()
    """Names of the sources of this run."""
    boot: str = ""
    """Name of this run, as in each envelope."""
    site: str = "site"
    """Where the monitor stands: letters, digits and `. _ -`."""
    mute: Mute = field(default_factory=Mute)
    """For what a person hears: say nothing while it lasts."""
    seen: SeenAlerts = field(default_factory=SeenAlerts)
    """Alerts that need not be told again."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the time for the last messages is over: `send` gives up what it waits for."""
    bundle: str = ""
    """Bundle of the run, as its user named it."""


@runtime_checkable
class Sink(Protocol):
    """Gets every message of a run but heartbeats, in order.

    A sink may have an attribute `kinds`, a set of kinds of messages: it gets no others. It may
    have a method `idle`, which is called without arguments about twice a second and after each
    message; what it raises is shown in the status.

    All methods are called in one thread, which belongs to this sink alone: they may wait for a
    disk or a network. Messages wait in a bounded queue meanwhile. Where the run has a store file,
    what the queue could not hold, or a former run did not deliver, is read from there, without
    attachments; else the oldest are dropped and counted.
    """

    def open(self, context: SinkContext) -> None:
        """Prepare, within ten seconds; what it raises ends the run before it begins.

        A far side that is away is no reason to raise: `send` tells it.
        """

    def send(self, message: Message) -> None:
        """Deliver one message; to return means that it is delivered.

        Raises:
            DeliveryError: not now; the same message comes again after a pause, which grows from
                0.5 s to 30 s, and the status shows the error meanwhile.
            Exception: any other loses this message; it is logged, counted and shown.
        """

    def close(self) -> None:
        """Release everything; may be called twice, and without `open`."""
