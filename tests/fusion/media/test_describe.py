"""Words of a vision model: later, short, harmless, and never in the way of an alert."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable
from contextlib import closing
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from fakes import frame
from test_lifecycle import make, run

from egomon.errors import ConfigError
from egomon.fusion.media.attach import EvidenceAttacher
from egomon.fusion.media.describe import KEY, LONGEST_CHARACTERS, MOST_WAITING, Describer
from egomon.fusion.media.face_blur import FaceBlur
from egomon.stream.buffer import RollingBuffer
from egomon.stream.frame import Segment

Answer = Callable[[httpx.Request], httpx.Response]


def segment(count: int = 8) -> Segment:
    frames = tuple(frame(i / 4, value=i * 20, index=i, px=64) for i in range(count))
    return Segment(0, "cam", 0.0, 2.0, 0, np.array([f.t_seconds for f in frames]), frames)


def said(text: object) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/models"):
            return httpx.Response(200, json={"data": [{"id": "seer"}]})
        return httpx.Response(200, json={"choices": [{"message": {"content": text}}]})

    return answer


def describer(answer: Answer, **options: Any) -> Describer:
    return Describer("http://seer.local/v1", transport=httpx.MockTransport(answer), **options)


def work(each: Describer) -> str | None:
    """Do the waiting jobs as the thread would; give the last words."""
    while (job := each._jobs.get(0)) is not None:
        each._describe(job)
    words = None
    while (done := each.done.get(0)) is not None:
        words = done.text
    return words


def test_the_endpoint_gets_pictures_in_order_and_the_report_and_no_more() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return said("Two hands hold a cup.")(request)

    with closing(describer(answer)) as each:
        each.submit("a-1", "'pour' looks wrong.", segment(), None)
        assert work(each) == "Two hands hold a cup."
    assert [request.url.path for request in asked] == ["/v1/models", "/v1/chat/completions"]
    body = json.loads(asked[1].content)
    *pictures, text = body["messages"][0]["content"]
    assert body["model"] == "seer"
    assert "'pour' looks wrong." in text["text"]
    brightness = []
    for picture in pictures:
        data = base64.b64decode(picture["image_url"]["url"].partition("base64,")[2])
        brightness.append(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).mean())
    assert len(brightness) == 4
    assert brightness == sorted(brightness)


def test_words_become_an_update_that_keeps_the_verdict() -> None:
    lifecycle = make()
    (opened,) = run(lifecycle, [-5, 3])
    (told,) = lifecycle.described("Two hands hold a cup.")
    assert (told.phase, told.reason, told.rev) == ("update", "described", opened.rev + 1)
    assert told.explanation == f"{opened.explanation} Seen: Two hands hold a cup."
    assert (told.p, told.state, told.scores) == (opened.p, opened.state, opened.scores)


def test_words_about_an_alert_that_has_ended_are_not_told() -> None:
    lifecycle = make()
    (opened,) = run(lifecycle, [-5, 3])
    stage: Any = type("Stage", (), {"lifecycle": lifecycle, "on_open": None})()
    with closing(describer(said("x"))) as each:
        attacher = EvidenceAttacher(None, describer=each)  # type: ignore[arg-type]
        buffer = RollingBuffer(seconds=10, max_bytes=1 << 20, on_full="drop_oldest")
        attacher.add_source(stage, "cam", buffer)
        for _ in range(2):
            each.submit(opened.alert_id, "it", segment(), None)
        each._describe(each._jobs.get(0))  # type: ignore[arg-type]
        assert [update.reason for _, update in attacher.ready()] == ["described"]
        lifecycle.close("shutdown")
        each._describe(each._jobs.get(0))  # type: ignore[arg-type]
        assert attacher.ready() == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("  one\n\nline \x1b[2J", "one line  [2J"),
        ("x" * 5000, "x" * (LONGEST_CHARACTERS - 1) + "…"),
    ],
)
def test_whatever_the_model_says_is_one_short_line(text: str, told: str) -> None:
    with closing(describer(said(text))) as each:
        each.submit("a-1", "it", segment(), None)
        assert work(each) == told


@pytest.mark.parametrize(
    "answer",
    [
        said(""),
        said(None),
        said(["no", "text"]),
        lambda request: httpx.Response(500),
        lambda request: httpx.Response(200, content=b"<html>"),
        lambda request: httpx.Response(200, json=[]),
        lambda request: httpx.Response(200, content=b" " * (2 << 20)),
        lambda request: httpx.Response(200, json={"data": []}),
    ],
)
def test_an_endpoint_that_fails_costs_words_only_and_is_told_once(
    answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(describer(answer)) as each, caplog.at_level(logging.WARNING):
        for _ in range(3):
            each.submit("a-1", "it", segment(), None)
        assert work(each) is None
        assert each.failed == 3
        assert each.fault
    assert caplog.text.count("no words about alerts") == 1


def test_the_queue_is_bounded_and_a_segment_without_pictures_asks_nothing() -> None:
    def never(request: httpx.Request) -> httpx.Response:
        raise AssertionError("nothing to send")

    with closing(describer(never)) as each:
        for _ in range(20):
            each.submit("a-1", "it", segment(0), None)
        assert len(each._jobs) == MOST_WAITING
        assert work(each) is None


def test_no_face_leaves_where_faces_are_blurred() -> None:
    class Broken:
        def find(self, picture: object) -> list[Any]:
            raise RuntimeError("no detector")

    def never(request: httpx.Request) -> httpx.Response:
        raise AssertionError("a picture left")

    with closing(describer(never, model="m", blur=FaceBlur(Broken()))) as each:
        each.submit("a-1", "it", segment(), None)
        assert work(each) is None
        assert "faces cannot be looked for" in str(each.fault)


def test_the_key_comes_from_the_environment_and_is_sent_as_a_header(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return said("words")(request)

    monkeypatch.setenv(KEY, "s3cret")
    with closing(describer(answer, model="m")) as each:
        each.submit("a-1", "it", segment(), None)
        assert work(each) == "words"
    assert seen == ["Bearer s3cret"]
    monkeypatch.setenv(KEY, "new\nline")
    with pytest.raises(ConfigError, match=KEY):
        describer(answer)


@pytest.mark.parametrize("url", ["seer.local/v1", "ftp://x", "http://[::1"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="--describe"):
        Describer(url)
