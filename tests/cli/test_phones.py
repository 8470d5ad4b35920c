"""`--device phone` on the command line: the link before the run, alerts during it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from wire_data import alert, segment

pytest.importorskip("aiortc", reason="the extra `phone` is not installed")

from whip_camera import WhipCamera

from egomon.cli.phones import Phones
from egomon.cli.screen import Screen
from egomon.config import Settings
from egomon.monitor import SourceRequest
from egomon.stream.sources.open import open_source

LINK = re.compile(r"open (https://127\.0\.0\.1:\d+/)#token=([\w-]{16}) on the phone")
WHIP = re.compile(r"WHIP (https://\S+/whip) with bearer token ([\w-]{16})$", re.MULTILINE)


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


def request(name: str) -> SourceRequest:
    return SourceRequest.of(name, "phone://127.0.0.1:0")


def test_each_phone_has_a_link_and_hears_the_alerts_of_its_own_picture(
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = SourceRequest("work", "work.mp4", is_live=False)
    phones = Phones([request("left"), file], Settings(), quiet=True)
    told = capsys.readouterr().err
    assert len(LINK.findall(told)) == 1
    assert phones.requests[1] is file
    assert phones.requests[0].reference.startswith("phone://127.0.0.1:")
    assert phones.are_awaited
    with phones, open_source(phones.requests[0].reference, name="left") as source:
        (whip,) = WHIP.findall(told)
        with WhipCamera(*whip) as camera:
            assert source.read() is not None
            assert not phones.are_awaited
            phones.publish("left", segment(1, 0.2))
            phones.publish("other", alert("a0"))
            phones.publish("left", alert("a1", explanation="The bolt is loose."))
            assert camera.got_text.wait(20)
    assert [json.loads(text) for text in camera.texts] == [
        {"id": "a1", "phase": "new", "severity": "alert", "text": "The bolt is loose."}
    ]


def test_the_code_is_drawn_unless_the_run_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    for quiet in (False, True):
        with Phones([request("phone")], Settings(), quiet=quiet):
            assert ("█" in capsys.readouterr().err) is not quiet


def test_the_dashboard_covers_the_code_only_once_the_phone_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    awaited, begun = [True], []
    screen = Screen([], quiet=False, hold=lambda: awaited[0])
    screen._use_dashboard = True
    monkeypatch.setattr(screen, "_begin_dashboard", lambda: begun.append(1))
    with screen:
        screen.tick(None)  # type: ignore[arg-type]
        assert begun == []
        awaited[0] = False
        screen.tick(None)  # type: ignore[arg-type]
        assert begun == [1]
