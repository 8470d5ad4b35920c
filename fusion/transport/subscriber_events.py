"""Events that a subscriber receives: messages, gaps, silence and restarts of the monitor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from egomon.fusion.messages.message import Message


@dataclass(frozen=True, slots=True)
class Gap:
    """`n` messages of a topic are lost for good."""

    n: int
    topic: str

    def __str__(self) -> str:
        source, kind = self.topic.split("/")[2:4]
        return f"{self.n} {kind} messages of {source} were lost"


@dataclass(frozen=True, slots=True)
class Stale:
    """Nothing was heard for `silent_seconds`: the monitor or the network is down."""

    silent_seconds: float
    refused: bool = False
    """The monitor refused this subscriber's CURVE key."""
    broker: str = ""
    """The broker that is away; empty = a monitor was listened to."""

    def __str__(self) -> str:
        if self.refused:
            return "the monitor refuses this key; give the folder with a key that it allows"
        if self.broker:
            return (
                f"{self.broker} is away since {self.silent_seconds:.0f} s; is the broker running?"
            )
        return (
            f"nothing was heard from the monitor for {self.silent_seconds:.0f} s; "
            "is it running, and is this its event address?"
        )


@dataclass(frozen=True, slots=True)
class PublisherRestarted:
    """The monitor was started anew; alerts of the earlier boot are closed by messages."""

    boot: str
    complete: bool
    """False where messages of the earlier boot may be missing."""

    def __str__(self) -> str:
        lost = "" if self.complete else "; messages from before may be missing"
        return f"the monitor was started anew{lost}"


Event: TypeAlias = Message | Gap | Stale | PublisherRestarted
