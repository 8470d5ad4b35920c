"""The state on top of the live page: readable at once, on a phone, a desktop and a wall."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
from browser import Browser, find_chromium
from wire_data import alert, ref, segment

from egomon.fusion.messages.types import AlertData, StatusData, Step
from egomon.report.hub import LiveHub
from egomon.report.server import LiveServer
from egomon.stream.pictures.jpeg import jpeg_of

pytest.importorskip("uvicorn")
pytestmark = pytest.mark.skipif(
    find_chromium() is None, reason="no chromium or chrome binary is installed"
)
NAMES = ("take the cup", "fill it", "put on the lid")
SIZES = {"phone": (390, 844), "desktop": (1280, 800), "kiosk": (1920, 1080)}
ONLINE = StatusData(source_state="online", domain="in_domain")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def hub() -> LiveHub:
    jpeg = jpeg_of(np.full((24, 32, 3), 99, np.uint8))
    made = LiveHub("bench", feedback=lambda *_: True, pictures=lambda step: jpeg)
    steps = [{"id": name, "name": name, "optional": False, "picture": f"step/{i}"}
             for i, name in enumerate(NAMES)]  # fmt: skip
    made.show("workflow", steps)
    made.show("demonstration", False)
    made.publish("cam0", ONLINE)
    return made


def work(hub: LiveHub, *steps: int, first: int = 0) -> None:
    """One segment of each step, two seconds long."""
    for index, step in enumerate(steps, first):
        seen = Step(id=NAMES[step], text=NAMES[step], conf=0.9)
        hub.publish("cam0", segment(index, 0.1, step=seen, segment=ref(index, start=2.0 * index)))


def small_alert(**fields: object) -> AlertData:
    """An alert of a bundle with one branch."""
    found = alert(reason="small_score", **fields)
    scores = msgspec.structs.replace(found.scores, large=None, gate=None, fused=None)
    return msgspec.structs.replace(found, scores=scores)


def word(browser: Browser) -> str:
    return str(browser.run("document.getElementById('state-word').textContent"))


def marks(browser: Browser) -> list[str]:
    script = "[...document.querySelectorAll('#track .mark')].map((m) => m.textContent)"
    return list(browser.run(script))


@pytest.mark.parametrize("size", SIZES)
def test_a_mistake_stands_on_top_in_large_letters_wherever_it_is_looked_at(
    browser: Browser, hub: LiveHub, size: str
) -> None:
    width, height = SIZES[size]
    with LiveServer(hub) as server:
        browser.open(server.url + "?kiosk" * (size == "kiosk"), width=width, height=height)
        browser.wait_for("document.getElementById('state').className === 'watching'")
        work(hub, 0, 1)
        browser.wait_for("document.querySelector('#track img')?.naturalWidth === 32")
        hub.publish("cam0", small_alert(explanation="Expected 'fill it'; 'put on the lid' began."))
        browser.wait_for("document.getElementById('state').className === 'mistake'")
        told = browser.run("document.getElementById('state').innerText")
        assert "Mistake" in told
        assert "Expected 'fill it'; 'put on the lid' began." in told
        box = browser.run(
            "(() => { const b = document.getElementById('state-more').getBoundingClientRect();"
            " return [b.top, b.bottom, b.left, b.right]; })()"
        )
        assert box[0] >= 0
        assert box[1] <= (height * 0.6)
        assert box[2] >= 0
        assert box[3] <= width
        font = browser.run(
            "parseFloat(getComputedStyle(document.getElementById('state-word')).fontSize)"
        )
        assert font >= {"phone": 28, "desktop": 40, "kiosk": 100}[size]
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.errors == []
        browser.open("about:blank#end")


def test_the_track_says_what_is_done_now_next_and_was_left_out_and_begins_anew(
    browser: Browser, hub: LiveHub
) -> None:
    with LiveServer(hub) as server:
        browser.open(server.url)
        work(hub, 0, 0)
        browser.wait_for("document.getElementById('state-word').textContent.startsWith('Step 1')")
        assert word(browser) == "Step 1 of 3: take the cup"
        assert marks(browser) == ["now", "next", ""]
        work(hub, 2, first=2)
        browser.wait_for("document.getElementById('state-word').textContent.startsWith('Step 3')")
        assert marks(browser) == ["done", "not seen", "now"]
        work(hub, 1, 0, first=3)  # all were seen and the first one comes back: a new cycle
        browser.wait_for("document.getElementById('state-word').textContent.startsWith('Step 1')")
        assert marks(browser) == ["now", "next", ""]
        hub.begin_cycle("cam0")
        browser.wait_for("document.getElementById('state-word').textContent === 'Watching'")
        assert marks(browser) == ["next", "", ""]
        assert browser.errors == []
        browser.open("about:blank#end")


def test_a_step_that_an_alert_says_was_not_seen_is_not_shown_as_done(
    browser: Browser, hub: LiveHub
) -> None:
    told: list[object] = []
    hub.actions["seen"] = lambda fields: told.append(fields["alerts"]) or "Seen."
    with LiveServer(hub) as server:
        browser.open(server.url)
        work(hub, 0, 1, 2)
        browser.wait_for("document.getElementById('state-word').textContent.startsWith('Step 3')")
        assert marks(browser) == ["done", "done", "now"]
        # The steps are named by the message, whatever the sentence and whatever else a name holds.
        opened = small_alert(missing_steps=("fill it", "of another bundle"), media_opened=4.0)
        hub.publish("cam0", opened)
        browser.wait_for("document.getElementById('state').className === 'mistake'")
        assert marks(browser) == ["done", "not seen", "now"]
        browser.run("document.getElementById('seen').click()")
        browser.wait_for("document.getElementById('told').textContent === 'Seen.'")
        assert told == [[opened.alert_id]]
        hub.publish("cam0", msgspec.structs.replace(opened, rev=2, phase="retract"))
        browser.wait_for("document.querySelectorAll('#track .done').length === 2")
        assert browser.errors == []
        browser.open("about:blank#end")


def test_what_was_seen_on_one_page_is_seen_on_every_page_and_after_a_reload(
    browser: Browser, hub: LiveHub
) -> None:
    said: list[list[str]] = []

    def seen(fields: Mapping[str, Any]) -> str:
        said.append(fields["alerts"])
        hub.seen(fields["alerts"])
        return "Seen."

    hub.actions["seen"] = seen
    kind = "document.getElementById('state').className === "
    with LiveServer(hub) as server:
        for number in range(3):
            hub.publish("cam0", small_alert(alert_id=f"a-{number}"))
        browser.open(server.url)
        browser.wait_for(f"{kind}'mistake'")
        hub.seen(["a-2"])  # on another page
        browser.wait_for(f"{kind}'watching'")
        browser.open(server.url)
        browser.wait_for(f"{kind}'mistake'")  # the others are open still
        browser.run("document.getElementById('seen').click()")
        browser.wait_for(f"{kind}'watching' && document.getElementById('told').textContent")
        assert said == [["a-0", "a-1"]]
        browser.open(server.url)
        browser.wait_for(f"{kind}'watching'")
        hub.publish("cam0", small_alert(alert_id="a-3"))
        browser.wait_for(f"{kind}'mistake'")
        assert browser.errors == []
        browser.open("about:blank#end")


def test_the_words_of_the_weights_are_whole_on_a_phone(browser: Browser, hub: LiveHub) -> None:
    with LiveServer(hub) as server:
        browser.open(server.url, width=390, height=844)
        hub.publish("cam0", alert())
        browser.wait_for("document.querySelector('.gate-words')")
        cut = "[...document.querySelectorAll('.gate-words span')].some("
        cut += "(each) => each.scrollWidth > each.clientWidth + 1 && each.clientWidth)"
        assert browser.run(cut) is False
        words = browser.run("document.querySelector('.gate-words').innerText")
        assert "first score 0." in words
        assert "second score 0." in words
        browser.open("about:blank#end")


def test_states_come_and_go_and_a_state_that_is_over_is_not_told_any_more(
    browser: Browser, hub: LiveHub
) -> None:
    kind = "document.getElementById('state').className === "
    with LiveServer(hub) as server:
        browser.open(server.url)
        hub.publish("cam0", StatusData(source_state="online", domain="out_of_domain"))
        browser.wait_for(f"{kind}'outside'")
        browser.wait_for("document.getElementById('banners').textContent.includes('out of domain')")
        hub.publish("cam0", ONLINE)
        browser.wait_for(f"{kind}'watching'")
        browser.wait_for("document.getElementById('banners').textContent === ''")
        hub.publish("cam0", StatusData(source_state="reconnecting", domain="in_domain"))
        browser.wait_for(f"{kind}'lost'")
        hub.publish("cam0", ONLINE)
        hub.publish("cam0", small_alert(demonstration=True))
        browser.wait_for(f"{kind}'mistake'")
        legend = browser.run("document.getElementById('legend').textContent")
        assert "second score" not in legend
        assert "demonstration" not in browser.run("document.getElementById('banners').textContent")
        browser.run("document.getElementById('seen').click()")
        browser.wait_for(f"{kind}'watching'")
        hub.publish("cam0", small_alert(rev=2, phase="retract", state="retracted"))
        assert word(browser) == "Watching"
        assert browser.errors == []
        browser.open("about:blank#end")


def test_why_this_alert_is_shown_whole(browser: Browser, hub: LiveHub) -> None:
    long = "Expected 'fill it' (step 2); 'put on the lid' (step 3) began at 01:12. " * 6
    hub.camera = lambda source, shown: (
        None if shown >= 0 else (1, jpeg_of(np.zeros((90, 160, 3), np.uint8)))
    )
    with LiveServer(hub) as server:
        browser.open(server.url)
        hub.publish("cam0", alert(explanation=long))
        browser.wait_for("document.querySelector('.lead')")
        hidden = "(({ scrollHeight, clientHeight }) => scrollHeight - clientHeight)"
        hidden += "(document.getElementById('why'))"
        browser.wait_for("document.querySelector('main.with-media')")
        assert browser.run(hidden) <= 1
        browser.open("about:blank#end")


def test_a_page_that_is_opened_before_its_camera_follows_it(browser: Browser) -> None:
    hub = LiveHub("bench", feedback=lambda *_: True)
    with LiveServer(hub) as server:
        browser.open(server.url)
        browser.wait_for("document.querySelector('.tools').textContent.includes('live')")
        assert word(browser) == "Starting"
        hub.publish("cam0", ONLINE)
        browser.wait_for("document.getElementById('state-word').textContent === 'Watching'")
        browser.wait_for("document.getElementById('source').textContent === 'cam0'")
        assert browser.errors == []
        browser.open("about:blank#end")
