"""One message with everything that it carries, as subscribers and sinks get it."""

from __future__ import annotations

from dataclasses import dataclass

from egomon.fusion.messages.envelope import Envelope
from egomon.fusion.messages.types import Data


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the monitor."""

    topic: str
    envelope: Envelope
    data: Data
    attachments: tuple[bytes, ...] = ()
    recovered: bool = False
    """From the snapshot or the store, which keep no attachments."""

    @property
    def source(self) -> str:
        """Name of the source."""
        return self.topic.split("/")[2]

    @property
    def kind(self) -> str:
        """`alert`, `segment`, `status`, `stats`, `heartbeat` or `gap`."""
        return self.topic.split("/")[3]
