"""The webhook sink against a real server on loopback."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_receiver import Receiver, receiving
from sink_data import end, hand_over

from egomon.errors import ConfigError, DeliveryError, UsageError
from egomon.fusion.messages.session_file import decode_line
from egomon.fusion.sinks.open import make_sink
from egomon.fusion.sinks.sink import SinkContext
from egomon.fusion.sinks.webhook import WebhookSink
from egomon.fusion.sinks.worker import SinkWorker
from egomon.testing import check_sink, sample_messages


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with receiving() as server:
        yield server


def test_the_webhook_keeps_the_contract_and_posts_what_a_session_file_holds(
    receiver: Receiver,
) -> None:
    kinds = "alert,segment,status,stats,gap"
    check_sink(lambda: make_sink(f"{receiver.url}/hook?room=1#kinds={kinds}"))
    assert [decode_line(body) for _, _, body in receiver.got] == sample_messages() * 2
    path, headers, _ = receiver.got[0]
    assert path == "/hook?room=1"
    assert headers["Content-Type"] == "application/cloudevents+json"
    assert not any("Signature" in name or name == "Authorization" for name in headers)


@pytest.mark.parametrize("place", ["file", "environment"])
def test_with_a_secret_each_body_is_signed_and_a_token_is_sent(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    url = receiver.url
    if place == "file":
        (tmp_path / "secret").write_text("déjà vu\n", encoding="utf-8")
        (tmp_path / "token").write_text("abc\n", encoding="utf-8")
        url += f"/#secret_file={tmp_path}/secret&token_file={tmp_path}/token"
    else:
        monkeypatch.setenv("EGOMON_WEBHOOK_SECRET", "déjà vu")
        monkeypatch.setenv("EGOMON_WEBHOOK_TOKEN", "abc")
    sink = make_sink(url)
    sink.open(SinkContext())
    sink.send(sample_messages()[0])
    sink.close()
    ((_, headers, body),) = receiver.got
    wanted = hmac.new("déjà vu".encode(), body, hashlib.sha256).hexdigest()
    assert headers["X-Egomon-Signature-256"] == f"sha256={wanted}"
    assert headers["Authorization"] == "Bearer abc"


def test_an_error_of_the_server_is_a_fault_and_the_message_comes_again_after_growing_pauses(
    receiver: Receiver,
) -> None:
    receiver.answers = [500] * 8 + [401, 302]
    pauses: list[float] = []
    faults: list[str | None] = []

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        faults.append(worker.fault)
        return False

    sink = make_sink(f"{receiver.url}/secret-path")
    worker = SinkWorker("the sink 'http'", sink, SinkContext(), pause=pause)
    worker.open()
    hand_over(worker, *sample_messages())
    end(worker)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30]
    told = f"the sink 'http' is away ({receiver.url} answers with status %d); messages wait, "
    assert [faults[0], faults[8]] == [told % code + "alerts go on" for code in (500, 401)]
    bodies = [decode_line(body) for _, _, body in receiver.got]
    first, _, status, *_ = sample_messages()
    assert bodies == [first] * 11 + [status]
    assert (worker.lost, worker.fault) == (0, None)


def test_a_message_that_the_server_refuses_is_lost_and_the_next_one_goes_on(
    receiver: Receiver,
) -> None:
    receiver.answers = [413]
    worker = SinkWorker("the sink 'http'", make_sink(receiver.url), SinkContext())
    worker.open()
    hand_over(worker, *sample_messages())
    end(worker)
    assert len(receiver.got) == 2
    assert (worker.lost, worker.fault) == (1, None)


def test_a_server_that_is_away_is_told_without_path_and_password(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    url = receiver.url.replace("://", "://me:hunter2@")
    receiver.shutdown()
    receiver.server_close()
    sink = make_sink(f"{url}/T0KEN?key=T0KEN")
    sink.open(SinkContext())
    with pytest.raises(DeliveryError, match=f"^{receiver.url} does not answer: ") as caught:
        sink.send(sample_messages()[0])
    sink.close()
    assert "hunter2" not in str(caught.value)
    assert "T0KEN" not in str(caught.value) + caplog.text


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("http://", "it names no host"),
        ("http:hook", "it names no host"),
        ("http://host:99999/", "not an address"),
        ("http://[::1/", "not an address"),
        ("http://host/\r\nX-Evil: 1", "spaces or control characters"),
        ("http://host/a b", "spaces or control characters"),
        ("http://host/#secret=abc", "unknown option 'secret'"),
        ("http://host/#kinds=alert,smoke", "no kind of message is 'smoke'"),
        ("http://host/#kinds", "not an address"),
    ],
)
def test_an_odd_address_is_refused_in_one_sentence(reference: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        WebhookSink(reference)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["me:hunter2/@host/", "me:hunter2@h\u2100st/", "me:1#hunter2@host/", "me:hunter2#@host/"],
)
def test_an_address_that_cannot_be_read_is_refused_without_its_password(address: str) -> None:
    with pytest.raises(UsageError, match="not an address") as caught:
        WebhookSink(f"http://{address}")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is empty or holds control characters"),
        (b"abc\r\nX-Evil: 1", "is empty or holds control characters"),
        (b"\xff\xfe", "it is no UTF-8 text"),
        ("déjà".encode(), "letters that no header may hold"),
        (None, "No such file"),
    ],
)
def test_a_token_that_no_header_may_hold_is_refused(
    tmp_path: Path, text: bytes | None, message: str
) -> None:
    path = tmp_path / "token"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(UsageError, match=message) as caught:
        WebhookSink(f"http://host/#token_file={path}")
    assert "\n" not in str(caught.value)
    assert "Evil" not in str(caught.value)
    assert text is None or b"d" in text or isinstance(caught.value, ConfigError)
