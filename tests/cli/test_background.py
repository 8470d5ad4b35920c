"""A run in the background of a terminal: it prints lines and is never stopped by the terminal."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# The leader of a session with a terminal starts the screen of a run in a process group of its own,
# as a shell does after `&`, and says how that ended.
_LEADER = """
import os, signal, sys
os.open(sys.argv[1], os.O_RDWR)  # the leader of a session gets it as its terminal
terminal = os.open("/dev/tty", os.O_RDWR)
child = os.fork()
if child == 0:
    if sys.argv[2] == "background":
        os.setpgid(0, 0)
    for descriptor in (0, 2):
        os.dup2(terminal, descriptor)
    from egomon.cli.screen import Screen
    from egomon.fusion.messages.types import StatusData
    from egomon.monitor.source_request import SourceRequest
    with Screen([SourceRequest("cam0", "0", True)], quiet=False) as screen:
        screen.listener("cam0", StatusData(source_state="online"))
        used = screen._dashboard is not None
    os._exit(10 if used else 20)
_, status = os.waitpid(child, os.WUNTRACED)
if os.WIFSTOPPED(status):
    os.kill(child, signal.SIGKILL)
    sys.exit(30)
sys.exit(os.WEXITSTATUS(status))
"""


@pytest.mark.parametrize(("where", "code"), [("foreground", 10), ("background", 20)])
def test_the_dashboard_is_for_the_foreground_and_nothing_stops_a_run_behind_it(
    where: str, code: int
) -> None:
    master, slave = os.openpty()
    try:
        child = subprocess.Popen(
            [sys.executable, "-c", _LEADER, os.ttyname(slave), where],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert child.wait(60) == code
        shown = os.read(master, 65536).decode()
    finally:
        os.close(slave)
        os.close(master)
    assert ("loading" if where == "foreground" else "online") in shown
    assert ("\x1b[?1049h" in shown) == (where == "foreground")  # the alternate screen
