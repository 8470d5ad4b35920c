"""What the live page makes heard: its own audio graph is rendered, and its sentences are read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest
from browser import Browser, find_chromium
from wire_data import alert

from egomon.fusion.messages.types import StatusData
from egomon.fusion.sinks.notices.notice import TONES
from egomon.report.hub import LiveHub
from egomon.report.server import LiveServer

pytest.importorskip("uvicorn")
pytestmark = pytest.mark.skipif(
    find_chromium() is None, reason="no chromium or chrome binary is installed"
)
RATE_HZ = 22050
# The page's audio context renders into memory; what it would speak and vibrate is kept.
EAR = f"""
window.heard = {{ spoken: [], vibrated: [], contexts: [] }};
window.AudioContext = class extends OfflineAudioContext {{
  constructor() {{ super(1, {2 * RATE_HZ}, {RATE_HZ}); heard.contexts.push(this); }}
  resume() {{ return Promise.resolve(); }}
}};
speechSynthesis.speak = (each) => heard.spoken.push(each.text);
navigator.vibrate = (pattern) => heard.vibrated.push(pattern);
window.rendered = () => heard.contexts[0].startRendering().then((b) => [...b.getChannelData(0)]);
"""
ONLINE = StatusData(source_state="online", domain="in_domain")
EVENTS = {
    "open": alert(explanation="Fill it has not been seen."),
    "retracted": alert(rev=2, phase="retract", state="retracted"),
    "lost": StatusData(source_state="offline", domain="in_domain"),
    "outside": StatusData(source_state="online", domain="out_of_domain"),
}
SENTENCES = {
    "open": "Mistake. Fill it has not been seen.",
    "retracted": "It was no mistake after all.",
    "lost": "Camera lost: cam0.",
    "outside": "This is unlike the taught work; no mistakes are reported.",
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as found:
        found.before_pages(EAR)
        yield found


@pytest.fixture
def hub() -> LiveHub:
    made = LiveHub("bench", feedback=lambda *_: True)
    made.publish("cam0", ONLINE)
    made.actions["mute"] = lambda fields: mute(made, on=fields["on"])
    return made


def mute(hub: LiveHub, *, on: bool) -> str:
    hub.show("muted_until", time.time() + 300 if on else 0)
    return ""


def listen(browser: Browser, url: str) -> None:
    """Open the page and switch its sound on."""
    browser.open(url)
    browser.wait_for("document.querySelector('.tools').textContent.includes('live')")
    browser.press("#sound")
    browser.wait_for("document.getElementById('sound').ariaPressed === 'true'")


def test_each_kind_of_news_has_a_tone_that_is_heard_and_a_sentence_that_is_spoken(
    browser: Browser,
) -> None:
    spectra = {}
    for kind, event in EVENTS.items():
        hub = LiveHub("bench", feedback=lambda *_: True)
        hub.publish("cam0", ONLINE)
        if kind == "retracted":
            hub.publish("cam0", EVENTS["open"])
        with LiveServer(hub) as server:
            listen(browser, server.url)
            hub.publish("cam0", event)
            browser.wait_for("heard.spoken.length === 1")
            assert browser.run("heard.spoken") == [SENTENCES[kind]]
            assert browser.run("heard.vibrated.length") == 1
            samples = np.array(browser.run("rendered()"))
            assert browser.errors == []
            browser.open("about:blank#end")
        length = sum(seconds for _, seconds in TONES[kind])
        loud = np.flatnonzero(np.abs(samples) > 0.05)
        assert loud[-1] / RATE_HZ == pytest.approx(length, abs=0.02)
        assert np.sqrt(np.mean(samples[: loud[-1]] ** 2)) > 0.1
        strength = np.abs(np.fft.rfft(samples))
        bands = np.bincount((np.fft.rfftfreq(len(samples), 1 / RATE_HZ) / 50).astype(int), strength)
        spectra[kind] = bands / np.linalg.norm(bands)
    for first, second in combinations(spectra, 2):
        assert float(spectra[first] @ spectra[second]) < 0.5, (first, second)


def test_nothing_sounds_before_it_is_asked_for_nor_while_it_is_muted(
    browser: Browser, hub: LiveHub
) -> None:
    with LiveServer(hub) as server:
        browser.open(server.url)
        browser.wait_for("document.querySelector('.tools').textContent.includes('live')")
        hub.publish("cam0", EVENTS["open"])
        browser.wait_for("document.getElementById('state').className === 'mistake'")
        assert browser.run("heard.contexts.length") == 0
        browser.press("#sound")
        browser.press("#mute")
        browser.wait_for("document.getElementById('mute').textContent.startsWith('Muted until ')")
        hub.publish("cam0", alert("a2", explanation="Another."))
        browser.wait_for("document.getElementById('state-more').textContent === 'Another.'")
        assert browser.run("heard.vibrated") == []
        browser.press("#mute")
        browser.wait_for("document.getElementById('mute').textContent === 'Mute 5 min'")
        hub.publish("cam0", alert("a3", explanation="A third."))
        browser.wait_for("heard.spoken.length === 1")
        assert browser.run("heard.spoken") == ["Mistake. A third."]
        assert browser.errors == []
        browser.open("about:blank#end")


def test_an_alert_is_repeated_until_it_is_seen_where_that_is_asked_for(
    browser: Browser, hub: LiveHub
) -> None:
    # Ten seconds pass at once: the page's own repetitions are called by hand.
    clock = browser.before_pages(
        "window.again = new Map(); let last = 0;"
        "window.setInterval = (f) => { again.set(++last, f); return last; };"
        "window.clearInterval = (id) => again.delete(id);"
    )
    with LiveServer(hub) as server:
        listen(browser, server.url)
        other = browser.run("again.size")
        browser.press("#repeat")
        hub.publish("cam0", EVENTS["open"])
        browser.wait_for("heard.vibrated.length === 1")
        hub.publish("cam0", alert(rev=2, phase="end", state="closed"))
        browser.run("[...again.values()].forEach((f) => f())")
        assert browser.run("heard.vibrated.length") == 2
        browser.press("#seen")
        browser.wait_for("document.getElementById('state').className === 'watching'")
        assert browser.run("again.size") == other
        browser.open("about:blank#end")
    browser.forget(clock)


def test_a_monitor_that_has_ended_is_told_and_heard(browser: Browser, hub: LiveHub) -> None:
    with LiveServer(hub) as server:
        listen(browser, server.url)
    browser.wait_for("document.getElementById('state-word').textContent === 'No connection'")
    browser.wait_for("heard.spoken.length === 1")
    browser.open("about:blank#end")
    browser.errors.clear()
