from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from wire_station import MakeStation, Station, alert

EXAMPLES = Path(__file__).parents[3] / "examples"
LINE = "{} {} The step does not look like the one expected here."
EXPECTED = [
    f"a-1 {LINE.format(1, 'new')}",
    f"a-2 {LINE.format(1, 'new')}",
    f"a-1 {LINE.format(2, 'end')}",
]


@contextmanager
def running(*command: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


def lines_of(process: subprocess.Popen[str], publisher: Station, asks: int = 0) -> list[str]:
    """What a reader prints about three messages that are sent once it listens."""
    publisher.serve_until(lambda: publisher.bus.subscriptions > 0 or _ended(process), 20)
    publisher.serve_until(lambda: publisher.bus.requests >= asks)
    for each in (alert("a-1"), alert("a-2"), alert("a-1", 2, "end")):
        publisher.emit(each)
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in EXPECTED]


def _ended(process: subprocess.Popen[str]) -> bool:
    if process.poll() is not None:
        pytest.fail(f"the example ended: {process.communicate()[1]}")
    return False


def test_the_plain_example_prints_each_alert(station: MakeStation) -> None:
    publisher = station()
    command = (sys.executable, "subscribe.py", publisher.bus.endpoints[0])
    with running(*command, folder=EXAMPLES) as process:
        assert lines_of(process, publisher) == EXPECTED


def test_the_typed_example_prints_the_same(station: MakeStation) -> None:
    publisher = station()
    assert publisher.bus.control_endpoint is not None
    command = (sys.executable, "subscribe_typed.py", publisher.bus.endpoints[0])
    control = ("--control", publisher.bus.control_endpoint)
    with running(*command, *control, folder=EXAMPLES) as process:
        assert lines_of(process, publisher, asks=1) == EXPECTED  # the snapshot


def test_listen_says_in_sentences_what_it_cannot_do_and_how_to_name_the_control_address(
    station: MakeStation, tmp_path: Path
) -> None:
    publisher = station(control=None)
    command = (sys.executable, "-m", "egomon", "listen", publisher.bus.endpoints[0], "-n", "1")
    with running(*command, folder=tmp_path) as process:
        publisher.serve_until(lambda: publisher.bus.subscriptions > 0 or _ended(process), 20)
        publisher.emit(alert("a-1"))
        out, said = process.communicate(timeout=30)
    assert "[a-1]" in out
    assert "no answer from tcp://" in said
    assert "in the command by --control" in said
    assert "Stale(" not in said
    assert process.returncode == 0


def test_the_plain_example_stays_within_ten_lines_of_code() -> None:
    code = (EXAMPLES / "subscribe.py").read_text().split('"""')[2]
    lines = [line for line in code.splitlines() if line.strip()]
    assert len([line for line in lines if not line.startswith("import")]) <= 10
