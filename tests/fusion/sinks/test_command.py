"""The sink that runs a program for each message."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from egomon.errors import DeliveryError, UsageError
from egomon.fusion.messages.session_file import read_session
from egomon.fusion.sinks.command import CommandSink
from egomon.fusion.sinks.open import make_sink
from egomon.fusion.sinks.sink import SinkContext
from egomon.testing import check_sink, sample_messages


def test_a_program_gets_each_message_on_stdin_and_its_arguments_meet_no_shell(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a b;$(touch evil).jsonl"
    check_sink(lambda: make_sink(f"exec:tee -a '{path}'"))
    assert list(read_session(path)) == sample_messages() * 2
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_a_program_that_fails_has_not_taken_the_message() -> None:
    sink = make_sink("exec:false")
    sink.open(SinkContext())
    with pytest.raises(DeliveryError, match=r"^false ends with status 1$"):
        sink.send(sample_messages()[0])


def test_a_program_that_does_not_read_is_no_error() -> None:
    sink = make_sink("exec:true")
    sink.open(SinkContext())
    for message in sample_messages():
        sink.send(message)


def test_a_program_that_does_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    child = tmp_path / "child.sh"
    child.write_text(f"exec 3>'{fifo}'; echo x >&3; tail -f /dev/null & wait")

    begun: list[bool] = []

    def clock() -> float:
        begun.append(True)
        return 100.0 if len(begun) > 1 and select.select([reader], [], [], 0)[0] else 0.0

    sink = CommandSink(f"exec:sh '{child}'", timeout_seconds=10.0, clock=clock)
    sink.open(SinkContext())
    with pytest.raises(DeliveryError, match="does not end within 10 s"):
        sink.send(sample_messages()[0])
    os.set_blocking(reader, True)
    with os.fdopen(reader, "rb") as file:  # ends only when no process holds the other end
        assert file.read() == b"x\n"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("exec:", "names no program"),
        ("exec:  ", "names no program"),
        ("exec:mail 'me", "close the quotes"),
        ("exec:no-such-program-here -x", "there is no program 'no-such-program-here'"),
        ("exec:/etc/passwd", "there is no program"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(reference: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_sink(reference)
