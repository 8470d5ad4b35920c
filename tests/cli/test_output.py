"""What a run writes beside its messages holds up nobody: not on a disk that is full or slow."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from wire_data import alert

from egomon.cli.output import alert_file
from egomon.cli.output.alert_file import AlertFile
from egomon.cli.output.threaded_stream import CAPACITY, ThreadedStream, threaded_log
from egomon.errors import UsageError

FULL = Path("/dev/full")


def within_seconds(seconds: float, work: Callable[[], object]) -> bool:
    """Whether `work` ends in time."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


def fill(pipe: int) -> None:
    os.set_blocking(pipe, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(pipe, b"-" * 1024):
            pass
    os.set_blocking(pipe, True)


def all_of(pipe: int) -> bytes:
    """Read to the end."""
    found = b""
    while piece := os.read(pipe, 1 << 16):
        found += piece
    return found


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Read and write end of a full pipe: a disk that stands still."""
    read, write = os.pipe()
    fill(write)
    yield read, write
    for each in (read, write):
        with contextlib.suppress(OSError):
            os.close(each)


def test_an_alert_does_not_wait_for_a_file_that_stands_still(pipe: tuple[int, int]) -> None:
    read, write = pipe
    out = AlertFile(Path(f"/dev/fd/{write}"), live=True)
    os.close(write)
    assert within_seconds(10, lambda: [out("cam0", alert(f"a{n}")) for n in range(100)])
    assert out.missing == 100
    got = SimpleNamespace(bytes=b"")
    reader = threading.Thread(target=lambda: setattr(got, "bytes", all_of(read)))
    reader.start()  # the disk is back
    out.close()
    reader.join(10)
    lines = got.bytes.lstrip(b"-").splitlines()
    assert [json.loads(line)["alert_id"] for line in lines] == [f"a{n}" for n in range(100)]


def test_a_run_ends_while_its_file_stands_still_and_says_what_is_missing(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(alert_file, "CLOSE_SECONDS", 0.05)
    out = AlertFile(Path(f"/dev/fd/{pipe[1]}"), live=True)
    out("cam0", alert())
    out("cam0", alert(rev=2))
    assert within_seconds(10, out.close)
    assert f"alerts missing in /dev/fd/{pipe[1]}: 2; its disk does not answer" in caplog.text


def test_a_full_disk_costs_a_live_run_its_file_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    out = AlertFile(FULL, live=True)
    out("cam0", alert())
    out.close()
    out.check()
    assert "no alerts to /dev/full: No space left on device; the run goes on" in caplog.text
    assert "alerts missing in /dev/full: 1; No space left on device" in caplog.text


class Refusing(FileIO):
    """Takes half of its first line, then refuses twice."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "wb")
        self.refusals, self.has_room = 0, threading.Event()

    def write(self, data: Any) -> int:
        if not self.tell():
            return super().write(data[: len(data) // 2])
        if self.refusals < 2:
            self.refusals += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.has_room.set()
        return super().write(data)


def test_a_disk_with_room_again_gets_every_line_once_and_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(alert_file, "RETRY_SECONDS", 0.01)
    path = tmp_path / "alerts.jsonl"
    file = Refusing(path)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", lambda *_, **__: file)
        out = AlertFile(path, live=True)
    out("cam0", alert("a1"))
    out("cam0", alert("a2"))
    assert file.has_room.wait(10)
    out.close()
    lines = path.read_bytes().splitlines()
    assert [json.loads(line)["alert_id"] for line in lines] == ["a1", "a2"]
    told = [record.levelname for record in caplog.records]
    assert told == ["ERROR", "WARNING"]
    assert "are written to" in caplog.messages[-1]


def test_a_replay_whose_alerts_cannot_be_written_is_refused_at_its_end() -> None:
    out = AlertFile(FULL, live=False)
    assert within_seconds(60, lambda: [out("cam0", alert()) for _ in range(5000)])
    out.close()
    with pytest.raises(UsageError, match="cannot write alerts to /dev/full: No space left"):
        out.check()


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger with only the handlers of the test."""
    logger = logging.getLogger()
    before, logger.handlers = logger.handlers, []
    yield logger
    logger.handlers = before


def test_no_thread_waits_for_a_log_that_stands_still(
    root: logging.Logger, pipe: tuple[int, int]
) -> None:
    read, write = pipe
    before = set(threading.enumerate())
    with open(write, "w") as stream:
        root.addHandler(logging.StreamHandler(stream))

        def run() -> None:
            with threaded_log():
                for number in range(CAPACITY + 100):
                    root.warning("line %d", number)

        assert within_seconds(30, run)
        got = SimpleNamespace(bytes=b"")
        reader = threading.Thread(target=lambda: setattr(got, "bytes", all_of(read)))
        reader.start()
        for thread in set(threading.enumerate()) - before - {reader}:
            thread.join(10)
    reader.join(10)
    lines = got.bytes.decode().lstrip("-").splitlines()
    told = [line for line in lines if "are left out here" in line]
    left_out = sum(int(line.split()[1]) for line in told)  # told twice if its thread began late
    assert told
    assert lines[-1] == f"line {CAPACITY + 99}"
    assert len(lines) - len(told) + left_out == CAPACITY + 100


def test_what_is_logged_in_a_run_comes_as_before(root: logging.Logger, tmp_path: Path) -> None:
    class NoSecrets(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            return "secret" not in record.getMessage()

    with (tmp_path / "log").open("w+") as stream:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        handler.addFilter(NoSecrets())
        root.addHandler(handler)
        with threaded_log():
            assert isinstance(handler.stream, ThreadedStream)
            root.warning("one")
            root.warning("a secret")
            root.error("two")
        assert handler.stream is stream
        root.error("three")
        stream.seek(0)
        assert stream.read() == "WARNING one\nERROR two\nERROR three\n"
