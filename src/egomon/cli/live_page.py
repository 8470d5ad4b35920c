"""`egomon live --view`: the live page beside the run; verdicts go to the event store."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from egomon.cli.page_bundle import show_bundle
from egomon.cli.verbs.taught_feedback import apply_verdict, is_taught
from egomon.errors import EgomonError, StoreError, UsageError

if TYPE_CHECKING:
    from egomon.config import Settings
    from egomon.fusion.messages.types import AlertData
    from egomon.monitor import Monitor
    from egomon.monitor.workers.source_worker import SourceWorker
    from egomon.report.hub import Camera, Feedback, LiveHub, Still

log = logging.getLogger(__name__)

HERE = "127.0.0.1:0"
"""Loopback, on a free port."""
PICTURE_PX = 640
"""Largest width of pictures, pixels."""


def live_hub(title: str, settings: Settings) -> LiveHub:
    """Build the hub of the live page; its `publish` is an `EventListener`."""
    from egomon.report.hub import LiveHub

    hub = LiveHub(title, feedback=_feedback(settings))
    show_bundle(hub, settings.model.name)
    return hub


def connect(hub: LiveHub, monitor: Monitor) -> None:
    """Give the page pictures of the monitor's cameras, and the button that begins a cycle."""

    def begin_cycle(fields: Mapping[str, Any]) -> str:
        source = fields.get("source")
        if not isinstance(source, str) or not monitor.reset_context(source):
            raise UsageError("no such camera is watched yet; try again when its picture is there")
        hub.begin_cycle(source)
        return "A new cycle has begun."

    hub.camera, hub.still = camera_of(monitor.inputs), still_of(monitor.inputs)
    hub.actions["cycle"] = begin_cycle


def camera_of(inputs: Sequence[SourceWorker]) -> Camera:
    """Return a reader of each source's newest sampled frame, as resized for the models.

    If the source reports gaze, a ring marks it. Nothing is read or decoded for
    the picture, and the source's own thread does nothing for it.
    """
    from egomon.fusion.media.images import jpeg_of, picture_of
    from egomon.report.gaze_overlay import ringed

    named = {item.name: item for item in inputs}

    def newest(source: str, shown: int) -> tuple[int, bytes] | None:
        item = named.get(source)
        frame = None if item is None else item.buffer.latest()
        if item is None or frame is None or frame.mono_ns == shown:
            return None
        picture = picture_of(frame, item.size, width=PICTURE_PX)
        if frame.gaze is not None:
            picture = ringed(picture, frame, item.size, item.preprocessing)
        jpeg = jpeg_of(picture)
        return None if jpeg is None else (frame.mono_ns, jpeg)

    return newest


def still_of(inputs: Sequence[SourceWorker]) -> Still:
    """Return a reader of the middle frame of an alert's segment, as an evidence snapshot shows it.

    A new alert costs one small JPEG; nothing is read or decoded for it.
    """
    from egomon.fusion.media.images import SNAPSHOT_PX, jpeg_of, picture_of

    named = {item.name: item for item in inputs}

    def still(source: str, alert: AlertData) -> bytes | None:
        item, part = named.get(source), alert.segment
        if item is None:
            return None
        frames = item.buffer.window(part.media_start, part.media_end, part.epoch)
        if not frames:
            return None
        return jpeg_of(picture_of(frames[len(frames) // 2], item.size, width=SNAPSHOT_PX))

    return still


@contextmanager
def served(hub: LiveHub | None, address: str = HERE) -> Iterator[str]:
    """Serve the page while the run lasts, and say on stderr where it is; None serves nothing.

    An address that other machines can reach gets a token for this run, which is printed too.

    Yields:
        Address and token for the user; empty if nothing is served.

    Raises:
        ConfigError: not an address.
        AddressInUseError: the port is taken.
    """
    if hub is None:
        yield ""
        return
    from egomon.http.access import is_loopback, new_token, parse_address
    from egomon.report.server import LiveServer

    host, port = parse_address(address, option="--view-address", example="127.0.0.1:8080")
    token = None if is_loopback(host) else new_token()
    with LiveServer(hub, host=host, port=port, token=token) as server:
        where = server.url if token is None else f"{server.url} token {token}"
        sys.stderr.write(f"egomon: live page on {where}\n")
        if token is not None:
            sys.stderr.write(
                "egomon: the page is not encrypted; on a network of others use a tunnel "
                "(ssh -L) or a proxy with TLS\n"
            )
        yield where


def _feedback(settings: Settings) -> Feedback:
    def store(alert_id: str, verdict: str) -> bool:
        from egomon.fusion.store.events import EventStore, FeedbackVerdict
        from egomon.monitor.storage import store_path

        path = store_path(settings, live=True)
        if path is None:
            raise StoreError("this run keeps its events in memory only; give --store FILE")
        with EventStore(path) as events:
            known = events.feedback(alert_id, cast(FeedbackVerdict, verdict), "", time.time_ns())
            row = events.alert(alert_id) if known else None
        if row is not None and is_taught(settings.model.name):
            _tell_bundle(Path(settings.model.name), row.data, verdict)
        return known

    return store


def _tell_bundle(folder: Path, alert: AlertData, verdict: str) -> None:
    """The verdict is kept in any case; the bundle may have nothing to learn from it."""
    try:
        log.info("%s; it holds from the next start on", apply_verdict(folder, alert, verdict))
    except EgomonError as error:
        log.warning("%s", error)
