"""The sink `apprise:URL`: push, mail and chat by the library apprise."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from egomon.errors import DeliveryError, MissingExtraError, UsageError
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.types import AlertData, StatusData
from egomon.fusion.sinks.notices.notice import LOST
from egomon.fusion.sinks.picture import picture_of
from egomon.fusion.sinks.sink import SinkContext

if TYPE_CHECKING:
    from apprise import Apprise

VARIABLE = "EGOMON_APPRISE_URLS"
"""Addresses, separated by spaces, where the reference is `apprise:` alone."""
PHASES = {"new": "Mistake", "retract": "No mistake after all"}


class AppriseSink:
    """Tells a person of each alert that opens or is taken back, and of a camera that is lost.

    The reference is `apprise:` and an address as apprise writes it, such as
    `apprise:mailto://...`; `apprise://HOST/TOKEN` is a server of apprise's own.

    Raises:
        UsageError: apprise does not know the address.
        MissingExtraError: without apprise.
    """

    kinds = frozenset({"alert", "status"})

    def __init__(self, reference: str) -> None:
        try:
            from apprise import Apprise, AppriseAsset
        except ImportError as error:
            raise MissingExtraError("a sink apprise:", "sinks") from error
        # No local plug-ins, no text taken for markup or escapes: it comes from outside.
        self._apprise: Apprise = Apprise(
            asset=AppriseAsset(app_id="egomon", interpret_escapes=False, interpret_emojis=False)
        )
        rest = reference.partition(":")[2]
        if rest.startswith("//"):
            rest = rest[2:] if "://" in rest[2:] else reference
        urls = [rest] if rest else os.environ.get(VARIABLE, "").split()
        log = logging.getLogger("apprise")
        log.setLevel(logging.CRITICAL)  # it would tell the address that it does not know
        is_known = bool(urls) and all([self._apprise.add(url) for url in urls])
        log.setLevel(logging.WARNING)  # below, it tells whole addresses
        if not is_known:
            raise UsageError(
                f"--sink apprise: holds no address that apprise knows; write apprise:SERVICE://... "
                f"or put addresses into {VARIABLE}"
            )
        self._lost: dict[str, bool] = {}

    def open(self, context: SinkContext) -> None:
        """See `Sink`."""

    def send(self, message: Message) -> None:
        """See `Sink`."""
        told = self._words(message)
        if told is None:
            return
        from apprise import NotifyFormat, NotifyType

        title, body, is_good = told
        picture = picture_of(message)
        done = self._apprise.notify(
            body=body,
            title=title,
            notify_type=NotifyType.SUCCESS if is_good else NotifyType.WARNING,
            body_format=NotifyFormat.TEXT,
            attach=None if picture is None else _attachment(picture),
        )
        if not done:
            raise DeliveryError("a service of apprise does not take the message")
        if message.kind == "status":
            self._lost[message.source] = not is_good

    def close(self) -> None:
        """See `Sink`."""

    def _words(self, message: Message) -> tuple[str, str, bool] | None:
        """Title, sentence and whether it is good news; None where a person need not know."""
        data, source = message.data, message.source
        if isinstance(data, AlertData) and data.phase in PHASES:
            return f"{PHASES[data.phase]}: {source}", data.explanation, data.phase == "retract"
        if not isinstance(data, StatusData):
            return None
        is_lost = data.source_state in LOST
        if is_lost == self._lost.get(source, False):
            return None
        title = "Camera lost" if is_lost else "Camera is back"
        body = f"{source} is {data.source_state}"
        return (
            f"{title}: {source}",
            body if data.error is None else f"{body}: {data.error.message}",
            not is_lost,
        )


def _attachment(picture: bytes) -> object:
    from apprise.attachment.memory import AttachMemory

    return AttachMemory(  # type: ignore[no-untyped-call]
        content=picture, name="alert.jpg", mimetype="image/jpeg"
    )
