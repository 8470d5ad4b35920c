"""A real browser as the phone: its camera is seen, alerts reach it, it comes back after a sleep."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from browser import Browser, find_chromium
from fakes import RecordingListener
from videos import pictures

pytest.importorskip("aiortc", reason="the extra `phone` is not installed")

from egomon.stream.sources.open import open_source
from egomon.stream.sources.synthetic import read_index
from egomon.stream.sources.webrtc.server import PROBLEMS, PhoneServer
from egomon.stream.sources.webrtc.source import PhoneSource

pytestmark = pytest.mark.skipif(
    find_chromium() is None, reason="no chromium or chrome binary is installed"
)

WORDS = "document.getElementById('words').textContent"


def write_y4m(path: Path) -> None:
    """What the fake camera shows, 640x480 at 15 frames a second, again and again."""
    with path.open("wb") as file:
        file.write(b"YUV4MPEG2 W640 H480 F15:1 Ip A1:1 C420jpeg\n")
        for image in pictures(60, 640, 480):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
            file.write(b"FRAME\n" + frame.to_ndarray().tobytes())


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    shown = tmp_path_factory.mktemp("camera") / "camera.y4m"
    write_y4m(shown)
    flags = (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={shown}",
        "--ignore-certificate-errors",
    )
    with Browser(tmp_path_factory.mktemp("profile"), more_flags=flags) as found:
        yield found


@pytest.fixture
def listener() -> RecordingListener:
    return RecordingListener()


@pytest.fixture
def source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listener: RecordingListener
) -> Iterator[PhoneSource]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with open_source("phone://127.0.0.1:0", name="phone", listener=listener) as found:
        assert isinstance(found, PhoneSource)
        yield found


def press(browser: Browser, name: str) -> None:
    """A finger, not a script: the browser allows sound and vibration only after one."""
    box = f"document.getElementById('{name}').getBoundingClientRect()"
    x, y = browser.run(
        f"(() => {{ const b = {box}; return [b.x + b.width / 2, b.y + b.height / 2]; }})()"
    )
    browser.click(x, y)


def read_until(source: PhoneSource, epoch: int) -> bool:
    frames = zip(iter(source.read, None), range(200), strict=False)
    return any(grab.epoch == epoch for grab, _ in frames)


def test_the_phone_sends_its_camera_hears_alerts_and_comes_back_after_a_sleep(
    browser: Browser, source: PhoneSource, listener: RecordingListener
) -> None:
    browser.errors.clear()
    browser.open(source.link, width=390, height=844)
    press(browser, "start")
    grabs = [grab for _ in range(30) if (grab := source.read())]
    numbers = [read_index(grabs[-1].to_rgb())]
    assert 0 <= numbers[0] < 60
    assert (source.info.width, source.info.height) == (640, 480)
    browser.wait_for(f"{WORDS} === 'Sending to egomon'")
    assert browser.run("location.hash") == ""  # the code is used, and in no history

    browser.run("navigator.vibrate = (times) => { window.shaken = times; return true; }")
    told = {"id": "a1", "phase": "new", "severity": "alert", "text": "<b>The bolt</b> is loose."}
    PhoneServer.tell("phone", json.dumps(told))
    browser.wait_for("!document.getElementById('alert').hidden")
    text = "document.getElementById('alert-text').textContent"
    assert browser.run(text) == "<b>The bolt</b> is loose."
    assert browser.run("window.shaken.length") == 5
    PhoneServer.tell("phone", json.dumps({**told, "phase": "retract", "text": "It was right."}))
    browser.wait_for(f"{text} === 'It was right.'")

    source._place.find(source._place._active.id).close()  # type: ignore[union-attr]
    assert read_until(source, 1)
    sleep = "Object.defineProperty(document, 'visibilityState', {value: '%s', configurable: true});"
    sleep += "document.dispatchEvent(new Event('visibilitychange'));"
    browser.run(sleep % "hidden")
    browser.run("{ const now = Date.now; Date.now = () => now() + 60000; }")
    browser.run(sleep % "visible")
    assert read_until(source, 2)

    press(browser, "start")
    browser.wait_for(f"{WORDS} === 'Stopped'")
    assert [gap.cause for gap in listener.gaps] == ["reconnect"] * 2
    assert browser.errors == []
    browser.open("about:blank#end")


def test_a_link_that_is_not_valid_is_one_sentence_on_the_page(
    browser: Browser, source: PhoneSource
) -> None:
    browser.open(source.link[:-3], width=390, height=844)
    press(browser, "start")
    browser.wait_for(f"{WORDS}.startsWith('this link is not the one')")
    browser.open("about:blank#end")
    browser.open(source.link.partition("#")[0], width=390, height=844)
    browser.wait_for(f"{WORDS}.startsWith('Scan the code')")
    assert browser.run("document.getElementById('start').disabled")
    browser.open("about:blank#end")


@pytest.mark.parametrize(
    ("broken", "problem", "words"),
    [
        ("RTCPeerConnection = undefined", "old", "too old"),
        (
            "navigator.mediaDevices.getUserMedia = () => "
            "Promise.reject(new DOMException('', 'NotAllowedError'))",
            "denied",
            "not allowed",
        ),
        (
            "navigator.mediaDevices.getUserMedia = () => "
            "Promise.reject(new DOMException('', 'NotFoundError'))",
            "camera",
            "No such camera",
        ),
        (
            "Object.defineProperty(window, 'isSecureContext', { value: false })",
            "insecure",
            "not encrypted",
        ),
    ],
)
def test_what_a_browser_lacks_is_one_sentence_on_both_ends(
    browser: Browser,
    source: PhoneSource,
    broken: str,
    problem: str,
    words: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    added = browser.call("Page.addScriptToEvaluateOnNewDocument", source=broken)
    try:
        browser.open(source.link, width=390, height=844)
        if not browser.run("document.getElementById('start').disabled"):
            press(browser, "start")
        browser.wait_for(f"{WORDS}.includes('{words}')")
        asked = "performance.getEntriesByType('resource').some((e) => e.name.endsWith('/problem'))"
        browser.wait_for(asked)
        browser.open("about:blank#end")
    finally:
        browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=added["identifier"])
    assert PROBLEMS[problem] in caplog.text
