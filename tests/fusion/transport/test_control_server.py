from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_station import alert, online

from egomon.errors import SourceError, StoreError
from egomon.fusion.store.events import EventStore
from egomon.fusion.transport.control_server import SINCE_MAX_BYTES, StoreControl, answer
from egomon.fusion.transport.sequencer import Sequencer

VERBS = (
    *("hello", "snapshot", "since", "reset-context", "ack", "feedback", "alert.get", "stats"),
    *("picture", "mute", "model", "stop"),
)


class Desk:
    """A handler with one stored alert, and `ask`."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self.sequencer = Sequencer("boot-1", "bench", lambda: 10**9)
        self.resets: list[str] = []
        self.handler = StoreControl(
            store,
            self.sequencer.snapshot,
            reset_context=self._reset,
            stats=lambda: {"frames": 1},
            wall_clock_ns=lambda: 5,
        )
        for data in (online(), alert("a-1"), alert("a-2"), alert("a-2", 2, "end")):
            event = self.sequencer.number("cam0", data)
            store.append([event])
            self.sequencer.sent(event, data)

    def _reset(self, source: str) -> bool:
        self.resets.append(source)
        return source == "cam0"

    def ask(self, **request: Any) -> dict[str, Any]:
        return self.raw(json.dumps({"id": 1, **request}).encode())

    def raw(self, body: bytes) -> dict[str, Any]:
        reply: dict[str, Any] = json.loads(answer(body, self.handler, "boot-1"))
        return reply


@pytest.fixture(scope="module")
def station() -> Iterator[Desk]:
    with EventStore(None) as store:
        store.begin(boot="boot-1", sources=["cam0"], started_wall_ns=0)
        yield Desk(store)


def seqs(reply: dict[str, Any]) -> list[int]:
    return [event["envelope"]["seq"] for event in reply["events"]]


def test_hello_names_schema_boot_and_verbs(station: Desk) -> None:
    assert station.ask(verb="hello") == {
        "id": 1,
        "ok": True,
        "schema": 1,
        "boot": "boot-1",
        "verbs": list(VERBS),
    }


def test_a_snapshot_holds_open_alerts_last_status_and_numbers(station: Desk) -> None:
    reply = station.ask(verb="snapshot", prefix="egomon/1/")
    assert (reply["boot"], reply["seq"]) == ("boot-1", 4)
    assert seqs(reply) == [1, 2]
    assert reply["tseq"] == {"egomon/1/cam0/status/": 1, "egomon/1/cam0/alert/": 3}
    assert seqs(station.ask(verb="snapshot", prefix="egomon/1/cam1/")) == []


def test_since_gives_what_came_after(station: Desk) -> None:
    reply = station.ask(verb="since", boot="boot-1", seq=2)
    assert seqs(reply) == [3, 4]
    assert reply["more"] is False
    assert reply["events"][0]["topic"] == "egomon/1/cam0/alert/"
    assert seqs(station.ask(verb="since", seq=0, prefix="egomon/1/cam0/status/")) == [1]
    paged = station.ask(verb="since", seq=0, limit=2)
    assert (seqs(paged), paged["more"]) == ([1, 2], True)


def test_since_of_an_unknown_boot_is_too_old(station: Desk) -> None:
    assert station.ask(verb="since", boot="boot-0", seq=2)["error"]["code"] == "too_old"


def test_a_since_answer_stays_small() -> None:
    with EventStore(None) as store:
        store.begin(boot="boot-1", sources=["cam0"], started_wall_ns=0)
        station = Desk(store)
        long = msgspec.structs.replace(alert("a-long"), explanation="x" * (SINCE_MAX_BYTES // 8))
        for rev in range(1, 12):
            store.append([station.sequencer.number("cam0", msgspec.structs.replace(long, rev=rev))])
        reply = station.ask(verb="since", seq=4)
        assert (len(reply["events"]), reply["more"]) == (7, True)


def test_ack_feedback_and_get(station: Desk) -> None:
    assert station.ask(verb="ack", alert_id="a-2", by="Ada") == {"id": 1, "ok": True}
    assert station.ask(verb="feedback", alert_id="a-2", verdict="false", note="no")["ok"]
    got = station.ask(verb="alert.get", alert_id="a-2")["alert"]
    assert (got["acked_by"], got["acked_wall_ns"], got["verdict"]) == ("Ada", 5, "false")
    assert got["data"]["rev"] == 2
    assert station.ask(verb="alert.get", alert_id="a-9")["error"]["code"] == "not_found"


def test_stats_and_reset_context(station: Desk) -> None:
    assert station.ask(verb="stats")["stats"] == {"frames": 1}
    assert station.ask(verb="reset-context", source="cam0")["ok"]
    assert station.ask(verb="reset-context", source="cam7")["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"verb": "ack"}, "needs alert_id"),
        ({"verb": "reset-context"}, "needs source"),
        ({"verb": "reset-context", "source": "../../etc"}, "source"),
        ({"verb": "reset-context", "source": "cam0\n"}, "source"),
        ({"verb": "since", "seq": -1}, "seq"),
        ({"verb": "since", "seq": 2**64}, "seq"),
        ({"verb": "since", "limit": 10**6}, "limit"),
        ({"verb": "feedback", "alert_id": "a-1", "verdict": "no"}, "verdict"),
        ({"verb": "snapshot", "prefix": "x" * 300}, "prefix"),
        ({"verb": 3}, "verb"),
        ({}, "verb"),
    ],
)
def test_a_bad_field_is_named(station: Desk, request_: dict[str, Any], says: str) -> None:
    reply = station.ask(**request_)
    assert reply["id"] == 1
    assert reply["error"]["code"] == "bad_request"
    assert says in reply["error"]["message"]


def test_an_unknown_verb_lists_the_known_ones(station: Desk) -> None:
    error = station.ask(verb="shutdown")["error"]
    assert error["code"] == "unknown_verb"
    assert all(verb in error["message"] for verb in VERBS)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'"hello"',
        b"{" * 5_000,
        b"[" * 60_000,
        b'{"verb":' + b"[" * 60_000,
        b'{"verb":"hello","x":' + b'{"a":' * 10_000,
        b'{"verb":"ack","alert_id":"\\ud800"}',
        b'{"verb":"hello"} trailing',
        b'{"id":1e999,"verb":"hello"}',
        b'{"id":' + b"9" * 50_000 + b',"verb":"hello"}',
    ],
)
def test_what_is_no_request_is_answered_with_an_error(station: Desk, body: bytes) -> None:
    assert station.raw(body)["error"]["code"] == "bad_request"


class Broken(StoreControl):
    def __init__(self, error: Exception) -> None:
        self._error = error

    def stats(self) -> dict[str, Any]:
        raise self._error


def test_a_failing_store_is_told_without_its_path(caplog: pytest.LogCaptureFixture) -> None:
    body = b'{"id":"x","verb":"stats"}'
    for error, code in (
        (StoreError("disk full: /home/ada/events.sqlite"), "store_error"),
        (SourceError("rtsp://ada:secret@cam"), "failed"),
    ):
        reply = json.loads(answer(body, Broken(error), "boot-1"))
        assert (reply["id"], reply["ok"], reply["error"]["code"]) == ("x", False, code)
        assert "ada" not in reply["error"]["message"]


_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_values |= st.lists(_values, max_size=3) | st.dictionaries(st.text(max_size=4), _values, max_size=2)
_names = ("id", "prefix", "boot", "seq", "limit", "source", "alert_id", "by", "verdict", "note")
_requests = st.builds(
    lambda verb, fields: json.dumps({"verb": verb, **fields}).encode(),
    st.sampled_from((*VERBS, "x")),
    st.dictionaries(st.sampled_from(_names), _values, max_size=4),
)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=100) | _requests)
def test_whatever_arrives_gets_one_answer(station: Desk, body: bytes) -> None:
    reply = station.raw(body)
    assert reply["ok"] is True or set(reply["error"]) == {"code", "message"}
