"""`egomon live --view`: the live page beside the run; verdicts go to the event store."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from egomon.cli.page.feedback import PageFeedback
from egomon.cli.page.guide import Guide
from egomon.cli.page.page_bundle import show_bundle
from egomon.cli.page.teach_process import Teach, teach_in_process
from egomon.cli.page.undo import UndoStack
from egomon.errors import UsageError

if TYPE_CHECKING:
    from egomon.branches.taught.corrections import Correction
    from egomon.cli.page.folder import WorkFolder
    from egomon.config import Settings
    from egomon.fusion.messages.types import AlertData
    from egomon.monitor import Monitor
    from egomon.monitor.workers.source_worker import SourceWorker
    from egomon.report.hub import Camera, LiveHub, Still

HERE = "127.0.0.1:0"
"""Loopback, on a free port."""
CLOSE_SECONDS = 5.0
MUTE_SECONDS = 300.0
"""How long the page's button silences this machine and every page."""
MOST_SEEN = 100
"""Alerts that one press of *Seen* may name."""
PICTURE_PX = 640
"""Largest width of pictures, pixels."""


class LivePage:
    """The page of a run: what it shows, and what it may ask for.

    Args:
        title: heading.
        settings: of the run.
        work: where runs are recorded to and learned from; None = the page teaches nothing.
        teach: learns from them.
    """

    def __init__(
        self,
        title: str,
        settings: Settings,
        work: WorkFolder | None = None,
        *,
        teach: Teach = teach_in_process,
    ) -> None:
        from egomon.report.hub import LiveHub

        self._settings, self._work, self._teach = settings, work, teach
        self._guide: Guide | None = None
        self._undo = UndoStack()
        self._feedback = PageFeedback(settings, self._undo)
        self.hub = LiveHub(title, feedback=self._feedback.verdict)
        self._feedback.tell = lambda sentence: self.hub.show("told", sentence)
        show_bundle(self.hub, settings.model.name)
        self.hub.show("taught", self._feedback.folder is not None)

    def connect(self, monitor: Monitor) -> None:
        """Show the monitor's cameras, and let the page ask it for things.

        Raises:
            UsageError: the user asked to teach, and all sources are recordings.
        """
        hub, feedback = self.hub, self._feedback

        def begin_cycle(fields: Mapping[str, Any]) -> str:
            source = fields.get("source")
            if not isinstance(source, str) or not monitor.reset_context(source):
                raise UsageError("no such camera is watched yet; try again when it is")
            hub.begin_cycle(source)
            return "A new cycle has begun."

        def correct(rows: tuple[Correction, ...]) -> None:
            if monitor.pipeline is not None:
                monitor.pipeline.scoring.request_corrections(rows)

        def mute(fields: Mapping[str, Any]) -> str:
            is_on = bool(fields.get("on"))
            monitor.operations.mute(MUTE_SECONDS if is_on else 0.0)
            return "This machine and all pages are silent." if is_on else "Sound is on again."

        def seen(fields: Mapping[str, Any]) -> str:
            alerts = fields.get("alerts")
            ids = [str(each) for each in alerts[:MOST_SEEN]] if isinstance(alerts, list) else []
            for alert_id in ids:
                monitor.operations.seen.add(alert_id)
            hub.seen(ids)
            return "Seen: nothing of it is told again."

        def show_mute(seconds: float) -> None:
            hub.show("muted_until", time.time() + seconds if seconds else 0)

        feedback.correct, monitor.operations.on_mute = correct, show_mute
        hub.camera, hub.still = camera_of(monitor.inputs), still_of(monitor.inputs)
        hub.actions |= {"cycle": begin_cycle, "missed": feedback.missed}
        hub.actions |= {"undo": lambda fields: self._undo.undo(), "mute": mute, "seen": seen}
        has_camera = any(item.is_live for item in monitor.inputs)
        work = self._work
        if work is not None and work.is_wanted and not (work.steps.are_learned or has_camera):
            raise UsageError(
                "--learn records what a camera shows, and this is a recording; with --kind live "
                "it stands in for a camera, `egomon teach` learns from files"
            )
        if work is not None and has_camera:
            inputs = {item.name: item for item in monitor.inputs}
            self._guide = Guide(
                work,
                inputs,
                show=lambda state: hub.show("learn", state),
                watch=lambda folder: self._watch(monitor, folder),
                undo=self._undo,
                teach=self._teach,
            )
            hub.run_video = work.video
            hub.actions |= self._guide.actions

    def close(self) -> None:
        """End what the page has begun."""
        if self._guide is not None:
            self._guide.close(CLOSE_SECONDS)

    def _watch(self, monitor: Monitor, folder: Path) -> None:
        """Turn the monitor, the page and what is said on it to another bundle."""
        from egomon.branches.load_bundle import load_bundle

        model = self._settings.model
        monitor.exchange(load_bundle(folder, device=model.device, dtype=model.dtype))
        self._feedback.watches(folder)
        show_bundle(self.hub, folder)
        self.hub.show("taught", self._feedback.folder is not None)
        for item in monitor.inputs:
            self.hub.begin_cycle(item.name)


def camera_of(inputs: Sequence[SourceWorker]) -> Camera:
    """Return a reader of each source's newest sampled frame, as resized for the models.

    If the source reports gaze, a ring marks it. Nothing is read or decoded for
    the picture, and the source's own thread does nothing for it.
    """
    from egomon.fusion.media.images import picture_of
    from egomon.report.gaze_overlay import ringed
    from egomon.stream.pictures.jpeg import jpeg_of

    named = {item.name: item for item in inputs}

    def newest(source: str, shown: int) -> tuple[int, bytes] | None:
        item = named.get(source)
        frame = None if item is None else item.buffer.latest()
        if item is None or frame is None or frame.mono_ns == shown:
            return None
        picture = picture_of(frame, item.size, width=PICTURE_PX)
        if frame.gaze is not None:
            picture = ringed(picture, frame, item.size, item.preprocessing)
        return frame.mono_ns, jpeg_of(picture)

    return newest


def still_of(inputs: Sequence[SourceWorker]) -> Still:
    """Return a reader of the middle frame of an alert's segment, as an evidence snapshot shows it.

    A new alert costs one small JPEG; nothing is read or decoded for it.
    """
    from egomon.fusion.media.images import SNAPSHOT_PX, picture_of
    from egomon.stream.pictures.jpeg import jpeg_of

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
