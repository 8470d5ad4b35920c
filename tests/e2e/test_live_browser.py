"""The live page in a real browser: alerts appear, a verdict goes back, a lost client recovers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser import Browser, find_chromium
from wire_data import alert, segment, stats

from egomon.fusion.wire import StatusData
from egomon.report.hub import LiveHub
from egomon.report.server import LiveServer

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
