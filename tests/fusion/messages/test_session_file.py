"""A recorded session comes back as it was, and is bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

from egomon.errors import DataError, WireError
from egomon.fusion.messages.envelope import encode
from egomon.fusion.messages.session_file import (
    SessionWriter,
    decode_line,
    encode_line,
    read_session,
)
from egomon.testing import sample_messages


def test_messages_come_back_with_pictures_and_odd_text(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    with SessionWriter(path) as writer:
        for message in sample_messages():
            writer.write(message)
    assert list(read_session(path)) == sample_messages()


def test_a_line_is_the_envelope_as_on_the_wire_and_pictures_come_last() -> None:
    alert, *others = sample_messages()
    for message in others:
        assert encode_line(message) == encode(message.envelope) + b"\n"
    line = encode_line(alert)
    assert line.startswith(encode(alert.envelope)[:-1] + b',"attachments":["')
    assert line.count(b"\n") == 1


def test_a_line_that_was_cut_off_is_left_out_and_the_next_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    first, second, *_ = sample_messages()
    path.write_bytes(encode_line(first) + b'{"specversion":"1.0","id"')
    assert list(read_session(path)) == [first]
    with SessionWriter(path) as writer:
        writer.write(second)
    assert path.read_bytes().endswith(b"\n" + encode_line(second))
    with pytest.raises(DataError, match=r"session\.jsonl, line 2: not an egomon envelope"):
        list(read_session(path))


def test_a_file_is_never_larger_than_it_may_be_and_so_many_older_ones_are_kept(
    tmp_path: Path,
) -> None:
    path = tmp_path / "session.jsonl"
    messages = sample_messages()[1:]
    bound = max(len(encode_line(message)) for message in messages) + 1
    with SessionWriter(path, max_bytes=bound, keep=2) as writer:
        for message in messages:
            writer.write(message)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == [path.name, f"{path.name}.1", f"{path.name}.2"]
    assert all(file.stat().st_size <= bound for file in files)
    kept = [message for file in reversed(files) for message in read_session(file)]
    assert kept == messages[-3:]


@pytest.mark.parametrize(
    "line", [b"", b"[]", b'"\xff"', b'{"id": 1}', b"[" * 9999, b'{"attachments": ["?"]}']
)
def test_what_is_no_message_is_refused_as_such(line: bytes) -> None:
    with pytest.raises(WireError, match="not an egomon envelope"):
        decode_line(line)


def test_an_envelope_of_an_unknown_kind_is_refused_by_name() -> None:
    line = encode_line(sample_messages()[1]).replace(b"egomon/segment/1", b"egomon/smell/1")
    with pytest.raises(WireError, match="unknown message kind 'smell'"):
        decode_line(line)


def test_a_file_that_is_not_there_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        list(read_session(tmp_path / "missing.jsonl"))
