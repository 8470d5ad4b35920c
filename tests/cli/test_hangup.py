"""A terminal that is closed ends a run; a service reads its settings again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from egomon.cli import session
from egomon.cli.session import MonitorSession

_CHILD = """
import os, signal, sys
from egomon.cli.session import has_terminal
os.open(sys.argv[1], os.O_RDWR)  # the leader of a session gets it as its terminal
def tell(*_):
    os.write(1, str(has_terminal()).encode())
    os._exit(0)
signal.signal(signal.SIGHUP, tell)
os.write(1, f"{has_terminal()} ".encode())
while True:
    signal.pause()
"""


def test_a_terminal_that_is_closed_is_known_to_be_gone() -> None:
    master, slave = os.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, os.ttyname(slave)],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert child.stdout is not None
    with child, child.stdout:
        assert child.stdout.read(5) == b"True "
        os.close(slave)
        os.close(master)
        assert child.stdout.read() == b"False"


@pytest.mark.parametrize(
    ("terminals", "does"),
    [([True, False], "stop"), ([True, True], "reload"), ([False, False], "reload")],
    ids=["closed", "there", "service"],
)
def test_a_hangup_ends_only_the_run_whose_terminal_was_closed(
    terminals: list[bool], does: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monitor: Any = SimpleNamespace(
        watching=True,
        stop=lambda by: done.append("stop"),
        request_reload=lambda: done.append("reload"),
    )
    set_: dict[int, Callable[..., None]] = {}
    monkeypatch.setattr(session.signal, "signal", set_.__setitem__)
    monkeypatch.setattr(session, "has_terminal", lambda: terminals.pop(0))
    run: Any = SimpleNamespace(_signal=None, _reread=lambda: None)
    MonitorSession._catch_signals(run, monitor)
    set_[signal.SIGHUP](signal.SIGHUP, None)
    assert done == [does]
