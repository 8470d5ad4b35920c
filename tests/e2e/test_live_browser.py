"""The live page in a real browser: alerts appear, a verdict goes back, a lost client recovers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser import Browser, find_chromium
from wire_data import alert, segment, stats

from egomon.fusion.messages.types import StatusData
from egomon.report.hub import LiveHub
from egomon.report.server import LiveServer
from egomon.stream.pictures.jpeg import jpeg_of

pytest.importorskip("uvicorn")
pytestmark = pytest.mark.skipif(
    find_chromium() is None, reason="no chromium or chrome binary is installed"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


def test_an_alert_appears_as_it_comes_and_a_click_says_whether_it_was_right(
    browser: Browser,
) -> None:
    given: list[tuple[str, str]] = []

    def take(alert_id: str, verdict: str) -> bool:
        given.append((alert_id, verdict))
        return True

    hub = LiveHub("bench", feedback=take)
    hub.publish("cam0", StatusData(source_state="online", domain="in_domain"))
    with LiveServer(hub) as server:
        browser.open(server.url)
        for index in range(20):
            hub.publish("cam0", segment(index, 0.3))
        hub.publish("cam0", alert(explanation="The bolt is loose."))
        hub.publish("cam0", stats())
        browser.wait_for("document.querySelector('#list button')")
        browser.wait_for("document.querySelector('.lead')?.textContent === 'The bolt is loose.'")
        browser.wait_for("document.querySelector('.tools').textContent.includes('30.0 fps')")
        browser.run("document.querySelector('button[data-verdict=false]').click()")
        browser.wait_for("document.getElementById('verdict-note').textContent.includes('Stored')")
        pressed = "document.querySelector('button[data-verdict=false]').ariaPressed"
        assert browser.run(pressed) == "true"
        assert given == [("a1", "false")]
        hub.publish("cam0", alert(rev=2, phase="retract", explanation="Taken back."))
        browser.wait_for("document.querySelector('.lead').textContent === 'Taken back.'")
        browser.wait_for("document.getElementById('summary').textContent.includes('20 segments')")
        hub.publish("cam0", alert("a2", explanation="A newer one."))
        browser.wait_for("document.querySelector('.lead').textContent === 'A newer one.'")
        first = "document.querySelector('#list .what').textContent"
        assert browser.run(first) == "A newer one."
        assert browser.errors == []
        browser.open("about:blank#end")


def test_each_alert_has_its_still_in_the_list_and_it_is_asked_for_once(browser: Browser) -> None:
    jpeg = jpeg_of(np.full((48, 64, 3), 250, np.uint8))
    asked: list[str] = []

    class Hub(LiveHub):
        def still_of(self, alert_id: str) -> bytes | None:
            asked.append(alert_id)
            return super().still_of(alert_id)

    hub = Hub("bench", feedback=lambda *_: True, still=lambda source, data: jpeg)
    hub.publish("cam0", StatusData(source_state="online", domain="in_domain"))
    hub.publish("cam0", alert())
    shown = "[...document.querySelectorAll('#list .still')].filter((i) => i.naturalWidth === 64)"
    with LiveServer(hub) as server:
        browser.open(server.url)
        browser.wait_for(f"{shown}.length === 1")
        hub.publish("cam0", alert("a2", explanation="A newer one."))
        browser.wait_for(f"{shown}.length === 2")
        browser.wait_for("document.querySelector('.lead')?.textContent === 'A newer one.'")
        browser.wait_for("document.querySelector('#why .picture')?.naturalWidth === 64")
        hub.publish("cam0", alert("a2", rev=2, phase="end", explanation="Over."))
        browser.wait_for("document.querySelector('.lead')?.textContent === 'Over.'")
        assert browser.run(f"{shown}.length") == 2
        assert asked.count("a1") == 1
        assert browser.errors == []
        browser.open("about:blank#end")


def brightness(browser: Browser, shot: Path) -> float:
    """Mean of the middle of the camera's picture, 0 to 255, as it is on the screen."""
    box = browser.run(
        "(() => { const b = document.querySelector('#media img').getBoundingClientRect();"
        " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    x, y = (round(each) for each in box)
    browser.screenshot(shot)
    return float(cv2.imread(str(shot))[y - 5 : y + 5, x - 5 : x + 5].mean())


def test_the_camera_picture_moves_in_the_page(browser: Browser, tmp_path: Path) -> None:
    bright = jpeg_of(np.full((48, 64, 3), 250, np.uint8))
    dark = jpeg_of(np.zeros((48, 64, 3), np.uint8))
    assert bright is not None
    assert dark is not None
    pictures = {-1: (0, bright), 0: (1, dark)}
    let_go = False

    def camera(source: str, shown: int) -> tuple[int, bytes] | None:
        return pictures.get(shown) if shown < 0 or let_go else None

    hub = LiveHub("bench", feedback=lambda *_: True, camera=camera)
    hub.publish("cam0", StatusData(source_state="online", domain="in_domain"))
    with LiveServer(hub) as server:
        browser.open(server.url)
        browser.wait_for("document.querySelector('#media img')?.naturalWidth === 64")
        shot = tmp_path / "page.png"
        assert brightness(browser, shot) > 200
        let_go = True
        # Nothing tells when a picture of the stream is painted: it is looked at until it is.
        assert any(brightness(browser, shot) < 20 for _ in range(100))
        assert browser.errors == []
        browser.open("about:blank#end")
