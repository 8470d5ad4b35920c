from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_station import alert

from egomon.errors import WireError
from egomon.fusion.messages.envelope import decode_data, decode_envelope, encode, kind_of, topic
from egomon.fusion.messages.types import DATA_TYPES, AlertData, HeartbeatData
from egomon.fusion.transport.sequencer import Sequencer


def test_a_topic_of_cam1_is_no_prefix_of_cam10() -> None:
    assert not topic("cam10", "alert").startswith("egomon/1/cam1/")


def test_data_survive_the_way_through_an_envelope() -> None:
    event = Sequencer("boot-1", "bench", lambda: 1_700_000_000_123_456_789).number("cam0", alert())
    envelope = decode_envelope(event.envelope)
    assert decode_data("alert", envelope.data) == alert()
    assert (envelope.id, envelope.source) == ("boot-1-1", "egomon://bench/cam0")
    assert (envelope.type, envelope.dataschema) == ("egomon.alert.new", "egomon/alert/1")
    assert envelope.time == "2023-11-14T22:13:20.123Z"


def test_equal_messages_give_equal_bytes() -> None:
    assert encode(alert()) == encode(alert())


def test_numbers_count_per_boot_and_per_topic() -> None:
    sequencer = Sequencer("boot-1", "bench", lambda: 0)
    heartbeat = HeartbeatData(last_seq=0, last_tseq={})
    events = [
        sequencer.number("cam0", alert()),
        sequencer.number("cam1", alert()),
        sequencer.number("cam0", heartbeat),
        sequencer.number("cam0", alert("a-2")),
    ]
    assert [event.seq for event in events] == [1, 2, 3, 4]
    assert [event.tseq for event in events] == [1, 1, 1, 2]


def test_a_heartbeat_names_only_what_was_sent_by_its_source() -> None:
    sequencer = Sequencer("boot-1", "bench", lambda: 0)
    for source, send in (("cam0", True), ("cam1", True), ("cam0", False)):
        event = sequencer.number(source, alert())
        if send:
            sequencer.sent(event, alert())
    assert sequencer.heartbeat("cam0") == HeartbeatData(
        last_seq=2, last_tseq={"egomon/1/cam0/alert/": 1}
    )


@pytest.mark.parametrize("source", ["", "Cam", "a/b", "a b", "x" * 33, "cam0\n", "é"])
def test_a_source_name_that_is_no_topic_level_is_refused(source: str) -> None:
    with pytest.raises(WireError, match="cannot be a topic"):
        Sequencer("boot-1", "bench", lambda: 0).number(source, alert())


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(WireError, match="unknown message kind 'alarm'"):
        decode_data("alarm", b"{}")
    with pytest.raises(WireError, match="is not a wire type"):
        kind_of(msgspec.Raw(b"{}"))  # type: ignore[arg-type]


@given(st.binary(max_size=200), st.sampled_from([*DATA_TYPES, "x", ""]))
def test_any_bytes_are_decoded_or_refused_with_a_wire_error(body: bytes, kind: str) -> None:
    for decode in (lambda: decode_envelope(body), lambda: decode_data(kind, body)):
        with pytest.raises(WireError):
            decode()


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_deep_nesting_is_refused_with_a_wire_error(opening: bytes) -> None:
    body = opening * 100_000
    with pytest.raises(WireError):
        decode_envelope(body)
    with pytest.raises(WireError):
        decode_data("alert", b'{"x":' + body)


def test_unknown_fields_are_ignored() -> None:
    body = encode(alert()).replace(b'"rev":1', b'"rev":1,"colour":{"deep":[1]}')
    decoded = decode_data("alert", body)
    assert isinstance(decoded, AlertData)
    assert decoded == alert()


def test_a_reason_of_a_later_version_is_read_and_passed_on() -> None:
    body = encode(alert()).replace(b'"reason":"small_score"', b'"reason":"gaze_lost"')
    decoded = decode_data("alert", body)
    assert isinstance(decoded, AlertData)
    assert decoded.reason == "gaze_lost"  # type: ignore[comparison-overlap]
    assert encode(decoded) == body
