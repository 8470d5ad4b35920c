"""Evidence in the emit thread: attaches the snapshot, requests clips, announces them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import msgspec

from egomon.errors import StoreError
from egomon.fusion.alert_engine import AlertEngine
from egomon.fusion.event_publisher import EventPublisher
from egomon.fusion.lifecycle import AlertLifecycle
from egomon.fusion.media.images import Size, snapshot
from egomon.fusion.messages.types import AlertData, Data, Evidence
from egomon.stream.buffer import RollingBuffer
from egomon.stream.channel import Channel, ChannelClosed
from egomon.stream.frame import Segment
from egomon.stream.packet_ring import PacketRing

if TYPE_CHECKING:
    from egomon.fusion.media.clip_writer import ClipWriter, WrittenClip
    from egomon.fusion.media.describe import Describer, Description
    from egomon.fusion.media.face_blur import FaceBlur

logger = logging.getLogger(__name__)

T = TypeVar("T")

STORE_FAILED = "STORE_FAILED"
EVIDENCE_FAILED = "EVIDENCE_FAILED"


@dataclass(frozen=True, slots=True, eq=False)
class _Watched:
    stage: AlertEngine
    buffer: RollingBuffer
    size: Callable[[], Size | None]
    packets: PacketRing | None


class EvidenceAttacher:
    """Adds evidence to alerts and passes all events to the publisher; owned by the emit thread.

    Args:
        publisher: where events leave.
        snapshot: attach a JPEG to each new alert.
        blur: covers faces in it; where that fails, there is no JPEG.
        writer: None without clips.
        describer: asks for words about each new alert; None without.
        announce: publish `evidence_ready` once a clip is there. Off in a replay, whose alerts
            must not depend on how long the disk takes; the store knows the clip all the same.
    """

    def __init__(
        self,
        publisher: EventPublisher,
        *,
        snapshot: bool = False,
        blur: FaceBlur | None = None,
        writer: ClipWriter | None = None,
        describer: Describer | None = None,
        announce: bool = False,
    ) -> None:
        self._publisher = publisher
        self._snapshot, self._blur = snapshot, blur
        self._snapshot_fault: str | None = None
        self._writer, self._describer = writer, describer
        self._announce = announce
        self._watched: dict[str, _Watched] = {}
        self._opened: dict[str, Segment] = {}

    def add_source(
        self,
        stage: AlertEngine,
        source: str,
        buffer: RollingBuffer,
        size: Callable[[], Size | None] = lambda: None,
        packets: PacketRing | None = None,
    ) -> None:
        """Register one source; `size` is called when an alert opens."""
        self._watched[source] = _Watched(stage, buffer, size, packets)
        if self._snapshot or self._writer is not None or self._describer is not None:
            stage.on_open = self._opened.__setitem__

    def emit(self, source: str, data: Data) -> None:
        """Publish an event, a new alert with its picture; then request its clip."""
        segment = self._opened.pop(data.alert_id, None) if isinstance(data, AlertData) else None
        if segment is None or not isinstance(data, AlertData):
            self._publisher.emit(source, data)
            return
        watched = self._watched[source]
        size = watched.size()
        found = self._picture(segment, size) if self._snapshot else None
        if found is None:
            self._publisher.emit(source, data)
        else:
            evidence, jpeg = found
            self._publisher.emit(
                source, msgspec.structs.replace(data, evidence=(evidence,)), [jpeg]
            )
        if self._writer is not None:
            self._writer.submit(data.alert_id, segment, watched.buffer, size, watched.packets)
        if self._describer is not None:
            self._describer.submit(data.alert_id, data.explanation, segment, size)

    def ready(self) -> list[tuple[str, AlertData]]:
        """Return updates of open alerts whose clips or words have come since the last call."""
        out: list[tuple[str, AlertData]] = []
        if self._writer is not None:
            for clip in _taken(self._writer.done):
                lifecycle = self._lifecycle_of(clip)
                if self._announce and lifecycle is not None:
                    out += [(clip.source, each) for each in lifecycle.evidence((clip.evidence,))]
        if self._describer is not None:
            for said in _taken(self._describer.done):
                lifecycle = self._lifecycle_of(said)
                if lifecycle is not None:
                    out += [(said.source, each) for each in lifecycle.described(said.text)]
        return out

    def _lifecycle_of(self, item: WrittenClip | Description) -> AlertLifecycle | None:
        """Return the lifecycle whose open alert it is about; None if that has ended."""
        lifecycle = self._watched[item.source].stage.lifecycle
        alert = lifecycle.open_alert
        return lifecycle if alert is not None and alert.alert_id == item.alert_id else None

    def _picture(self, segment: Segment, size: Size | None) -> tuple[Evidence, bytes] | None:
        if self._blur is None:
            return snapshot(segment, size)
        try:
            found = self._blur.snapshot(segment, size)
        except StoreError as error:
            if self._snapshot_fault is None:
                logger.error("no picture: %s; alerts go on without pictures", error)
            self._snapshot_fault = str(error)
            return None
        self._snapshot_fault = None
        return found

    def faults(self) -> dict[str, str]:
        """Return current faults: a sentence by code, without paths."""
        found = {}
        if self._publisher.store_error is not None:
            found[STORE_FAILED] = (
                "the event store takes no events; alerts go on and wait in memory, see the log"
            )
        if self._snapshot_fault is not None:
            found[EVIDENCE_FAILED] = "faces cannot be blurred; alerts go on without pictures"
        if self._writer is not None and self._writer.fault is not None:
            found[EVIDENCE_FAILED] = "clips cannot be written; alerts go on, see the log"
        return found

    def retry(self) -> None:
        """See `EventPublisher.retry`."""
        self._publisher.retry()

    def close(self) -> None:
        """Write waiting clips; call after the last alert is closed."""
        if self._writer is not None:
            self._writer.close()
        if self._describer is not None:
            self._describer.close()


def _taken(done: Channel[T]) -> Iterator[T]:
    """Take what is there, without waiting."""
    with contextlib.suppress(ChannelClosed):
        while (item := done.get(0)) is not None:
            yield item
