"""Makes the pictures of the README: `make pictures` (needs chromium)."""

from __future__ import annotations

import io
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
from rich.console import Console

from egomon.config import load_settings
from egomon.fusion.messages.types import AlertData, Data
from egomon.monitor import Monitor, SourceRequest
from egomon.report import alert_stills, write_report
from egomon.report.hub import LiveHub
from egomon.report.server import LiveServer
from egomon.stream.pictures.jpeg import jpeg_of
from egomon.view.dashboard import Dashboard
from egomon.view.state import ViewState

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
if TYPE_CHECKING:
    from tests.e2e.browser import Browser
else:
    from browser import Browser

VIDEO = ROOT / "examples" / "bench.mp4"
NAME = "bench"
PAGE = {"width": 1200, "height": 760}
WEBP_QUALITY = 80

Events = Sequence[tuple[str, Data]]


def replayed() -> Events:
    """Everything that one replay of the example publishes."""
    heard: list[tuple[str, Data]] = []
    # The address only makes the monitor count and publish statistics; nobody listens.
    quiet = {
        "bus": {"publish": ("tcp://127.0.0.1:*",), "control": "none"},
        "store": {"path": "none"},
        "decision": {"refine_deadline_seconds": 60.0},
    }
    request = SourceRequest.of(NAME, str(VIDEO), "file")

    def listen(source: str, data: Data) -> None:
        heard.append((source, data))

    Monitor([request], load_settings(None, quiet), listeners=[listen], speed=1.0).run()
    return heard


def until_last_alert(heard: Events) -> Events:
    """The moment when the last alert has just opened: a view with something in it."""
    opened = [
        i for i, (_, data) in enumerate(heard) if isinstance(data, AlertData) and data.rev == 1
    ]
    if not opened:
        raise SystemExit("the replay raised no alert: nothing to picture")
    return heard[: opened[-1] + 1]


def dashboard(heard: Events, out: Path) -> None:
    """The terminal just after the last alert; the picture names no font of another site."""
    state = ViewState([NAME])
    for source, data in heard:
        state.apply(source, data)
    console = Console(record=True, width=110, height=34, file=io.StringIO(), force_terminal=True)
    console.print(Dashboard(state), end="")
    svg = console.export_svg(title="egomon replay examples/bench.mp4")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    out.write_text(svg, encoding="utf-8")


def report(browser: Browser, heard: Events, folder: Path, out: Path) -> None:
    """The report page."""
    media = alert_stills(heard, {NAME: VIDEO})
    page = write_report(heard, folder / "r.html", title=NAME, video=VIDEO, media=media)
    browser.open(page.as_uri(), **PAGE)
    browser.wait_for("document.querySelector('video').readyState >= 2")
    shoot(browser, folder, out)


def live(browser: Browser, heard: Events, folder: Path, out: Path) -> None:
    """The live page at the last alert, with the camera's picture."""
    moment = max(data.segment.media_end for _, data in heard if isinstance(data, AlertData))
    jpeg, stills = picture_at(moment), alert_stills(heard, {NAME: VIDEO})
    hub = LiveHub(
        NAME,
        feedback=lambda *_: True,
        camera=lambda _, shown: None if shown >= 0 else (1, jpeg),
        still=lambda _, alert: stills.get(alert.alert_id),
    )
    for source, data in heard:
        hub.publish(source, data)
    with LiveServer(hub) as server:
        browser.open(server.url, **PAGE)
        browser.wait_for("document.querySelector('#media img')?.naturalWidth > 0")
        shoot(browser, folder, out)
        browser.call("Page.navigate", url="about:blank")


def picture_at(moment: float) -> bytes:
    """A JPEG of the recording."""
    with av.open(str(VIDEO)) as container:
        for frame in container.decode(video=0):
            if (frame.time or 0.0) >= moment:
                break
        return jpeg_of(frame.to_ndarray(format="rgb24"))


def shoot(browser: Browser, folder: Path, out: Path) -> None:
    """What the browser shows now, as WebP."""
    shot = folder / "page.png"
    browser.screenshot(shot)
    image = cv2.imread(str(shot))
    assert image is not None
    cv2.imwrite(str(out), image, (cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY))


def main() -> None:
    """All three pictures."""
    heard = replayed()
    seen = until_last_alert(heard)
    dashboard(seen, HERE / "dashboard.svg")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with Browser(folder / "profile", timeout_seconds=120.0) as browser:
            report(browser, heard, folder, HERE / "report.webp")
            live(browser, seen, folder, HERE / "live.webp")


if __name__ == "__main__":
    main()
