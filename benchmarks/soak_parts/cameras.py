"""Senders that can be cut, each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CUT_KINDS = ("killed", "held", "ended")
"""Held: everything stands still, as behind a network that swallows all."""


def family(pid: int) -> Iterator[int]:
    """A process and all that it has started."""
    yield pid
    tasks = Path(f"/proc/{pid}/task")
    for task in tasks.iterdir() if tasks.exists() else ():
        for child in (task / "children").read_text().split():
            yield from family(int(child))


class Camera:
    """A sender in a process of its own."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self.start()

    def start(self) -> None:
        """Begin to send."""
        self.process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send this signal and wait."""
        self.process.send_signal(number)
        self.process.communicate(timeout=30)

    def cut(self, kind: str, seconds: float) -> None:
        """Be away for so long."""
        if kind == "held":
            for number in (signal.SIGSTOP, signal.SIGCONT):
                for pid in [*family(self.process.pid)]:
                    os.kill(pid, number)
                if number is signal.SIGSTOP:
                    time.sleep(seconds)
            with suppress(subprocess.TimeoutExpired):  # FFmpeg ends when it was hung up on
                self.process.wait(3.0)
                self.start()
            return
        self.end({"killed": signal.SIGKILL, "ended": signal.SIGTERM}[kind])
        time.sleep(seconds)
        self.start()


def send_whip(url: str, token: str) -> None:
    """Send to a WHIP address until SIGTERM; connect again when three seconds nothing is heard."""
    sys.path += [str(ROOT / "tests" / "stream"), str(ROOT / "tests")]
    import whip_camera

    class SlowPictures(whip_camera.Pictures):  # type: ignore[misc]
        async def recv(self) -> Any:
            await self.next_timestamp()  # every second picture of 30 a second
            return await super().recv()

    class Heard(whip_camera.WhipCamera):  # type: ignore[misc]
        last = time.monotonic()

        def _take(self, text: str) -> None:
            self.last = time.monotonic()

    whip_camera.Pictures = SlowPictures
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    while not over.is_set():
        try:
            with Heard(url, token, codec="VP8") as camera:
                while not over.wait(0.2) and time.monotonic() - camera.last < 3.0:
                    pass
        except OSError:
            over.wait(0.5)


if __name__ == "__main__":
    send_whip(sys.argv[1], sys.argv[2])
