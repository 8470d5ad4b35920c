"""Single keys on the terminal while the dashboard is shown."""

from __future__ import annotations

import os
import select
import sys
from typing import Any, Self


def in_foreground(descriptor: int) -> bool:
    """Return whether this process may read and set a terminal without being stopped.

    After `&` or `bg` the terminal belongs to another process group. One that is not that of this
    session stops nobody.
    """
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except AttributeError:  # Windows
        return False
    except OSError:
        return True


class Keys:
    """Reads keys without waiting; does nothing where stdin is no terminal."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._fd = sys.stdin.fileno() if descriptor is None else descriptor
        self._before: list[Any] | None = None

    def __enter__(self) -> Self:
        if os.isatty(self._fd) and in_foreground(self._fd):
            import termios
            import tty

            self._before = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd)  # Ctrl-C still makes a signal
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            import signal
            import termios

            # Sent to the background meanwhile, it would be stopped here.
            handler = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)
            signal.signal(signal.SIGTTOU, handler)

    def pressed(self) -> str:
        """Keys pressed since the last call."""
        if self._before is None or not in_foreground(self._fd):
            return ""
        if not select.select([self._fd], [], [], 0)[0]:
            return ""
        return os.read(self._fd, 64).decode("ascii", "ignore")
