"""The sink by apprise, against a server that takes its JSON."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest

pytest.importorskip("apprise", reason="the extra `sinks` is not installed")

from http_receiver import Receiver, receiving

from egomon.errors import DeliveryError, UsageError
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.types import AlertData, StatusData
from egomon.fusion.sinks.open import make_sink
from egomon.testing import check_sink, sample_messages
from egomon.testing.messages import JPEG

# apprise looks whether this module is there.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with receiving() as server:
        yield server


def address(receiver: Receiver) -> str:
    return receiver.url.replace("http://", "json://")


def bodies(receiver: Receiver) -> list[dict[str, str]]:
    return [json.loads(body) for _, _, body in receiver.got]


@pytest.mark.parametrize("form", ["apprise:{}", "apprise://{}"])
def test_the_apprise_sink_keeps_the_contract_and_tells_in_words_with_the_picture(
    receiver: Receiver, form: str
) -> None:
    check_sink(lambda: make_sink(form.format(address(receiver))))
    told = bodies(receiver)
    assert [body["title"] for body in told] == ["Mistake: cam0", "Camera lost: cam0"] * 2
    alert = sample_messages()[0]
    assert isinstance(alert.data, AlertData)
    assert told[0]["message"] == alert.data.explanation
    assert [base64.b64decode(a["base64"]) for a in told[0]["attachments"]] == [JPEG]
    assert told[1]["message"] == "cam0 is stalled: no frames"


def test_a_person_hears_once_of_each_alert_and_of_a_camera_that_comes_and_goes(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EGOMON_APPRISE_URLS", address(receiver))
    sink = make_sink("apprise:")
    alert, _, status, *_ = sample_messages()
    assert isinstance(alert.data, AlertData)
    for phase in ("new", "update", "end", "retract"):
        sink.send(replace(alert, data=msgspec.structs.replace(alert.data, phase=phase)))
    for state in ("online", "stalled", "reconnecting", "online"):
        sink.send(Message(status.topic, status.envelope, StatusData(source_state=state)))
    assert [body["title"] for body in bodies(receiver)] == [
        "Mistake: cam0",
        "No mistake after all: cam0",
        "Camera lost: cam0",
        "Camera is back: cam0",
    ]


def test_a_service_that_refuses_gets_the_message_again(receiver: Receiver) -> None:
    receiver.answers = [500]
    sink = make_sink(f"apprise:{address(receiver)}")
    alert = sample_messages()[0]
    with pytest.raises(DeliveryError, match="does not take the message"):
        sink.send(alert)
    sink.send(alert)
    assert len(receiver.got) == 2


@pytest.mark.parametrize("reference", ["apprise:", "apprise:smoke://hunter2", "apprise:hunter2"])
def test_an_address_that_apprise_does_not_know_is_refused_without_telling_it(
    reference: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.delenv("EGOMON_APPRISE_URLS", raising=False)
    with pytest.raises(UsageError, match="holds no address that apprise knows") as caught:
        make_sink(reference)
    assert "hunter2" not in str(caught.value) + caplog.text
