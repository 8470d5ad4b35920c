"""The picture that an alert carries."""

from __future__ import annotations

from egomon.fusion.messages.message import Message
from egomon.fusion.messages.types import AlertData


def picture_of(message: Message) -> bytes | None:
    """The JPEG of an alert, if it carries one."""
    if not isinstance(message.data, AlertData):
        return None
    for item in message.data.evidence:
        index = item.attachment
        if item.kind == "snapshot" and index is not None and index < len(message.attachments):
            return message.attachments[index]
    return None
