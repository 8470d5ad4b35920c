"""Runs monitors that the kill test kills: `go` on stdin forks one that replays into the store.

The fork saves the four seconds that importing torch takes. A line `said BOOT ALERT REV PHASE` is
written in the very moment in which the alert is on the socket.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from fakes import FrameList
from test_monitor import bright_at, monitor

from egomon.fusion.messages.types import AlertData
from egomon.fusion.transport.server import EventServer

SPANS = tuple((3.0 + 6 * i, 6.0 + 6 * i) for i in range(5))


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def replay(store: Path) -> None:
    original = EventServer.send

    def send(self: EventServer, prepared: Any, attachments: Any = ()) -> Any:
        sent = original(self, prepared, attachments)
        data = prepared.data
        if isinstance(data, AlertData):
            say(f"said {watch.boot} {data.alert_id} {data.rev} {data.phase}")
        return sent

    EventServer.send = send  # type: ignore[method-assign]
    watch, _ = monitor(FrameList(bright_at(*SPANS, seconds=34)), store=store)
    watch.run()


def main() -> None:
    store = Path(sys.argv[1])
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            say(f"pid {os.getpid()}")
            replay(store)
            os._exit(0)
        os.waitpid(pid, 0)
        say("over")


if __name__ == "__main__":
    main()
