"""The protocol of sinks."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from egomon.fusion.messages.message import Message


@dataclass(frozen=True, slots=True, eq=False)
class SinkContext:
    """Context in which a sink is opened."""

    sources: tuple[str, ...] = ()
    """Names of the sources of this run."""
    boot: str = ""
    """Name of this run, as in each envelope."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the time for the last messages is over: `send` gives up what it waits for."""


@runtime_checkable
class Sink(Protocol):
    """Gets every message of a run but heartbeats, in order.

    All methods are called in one thread, which belongs to this sink alone: they may wait for a
    disk or a network. Messages wait in a bounded queue meanwhile; when it is full, the oldest are
    dropped and counted. What a method raises is logged and shown in the status, and the message is
    counted as lost; alerts go on.
    """

    def open(self, context: SinkContext) -> None:
        """Connect, within ten seconds; what it raises ends the run before it begins."""

    def send(self, message: Message) -> None:
        """Deliver one message; to return means that it is delivered, to raise that it is not."""

    def close(self) -> None:
        """Release everything; may be called twice, and without `open`."""
