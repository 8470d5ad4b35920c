"""The dashboard on a terminal, drawn by the caller's ticks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.live import Live

from egomon.view.dashboard import Dashboard
from egomon.view.state import ViewState
from egomon.view.words import clean

# Faster flickers, and costs a small machine what its encoder needs.
LEAST_SECONDS = 0.25


class _NoteHandler(logging.Handler):
    """Turns log lines, which would break the screen, into notes on it."""

    def __init__(self, state: ViewState) -> None:
        super().__init__()
        self._state = state

    def emit(self, record: logging.LogRecord) -> None:
        self._state.notes.append(clean(f"{record.levelname.lower()}: {record.getMessage()}"))


class LiveView:
    """Draws a `ViewState` on the alternate screen; has no thread of its own.

    Log lines to the console are held back while it is shown: the newest is on the screen, all
    are printed when the screen is left.

    Args:
        console: where to draw.
        state: what to draw; the caller changes it between ticks.
        clock: seconds, for the limit of four pictures a second.
    """

    def __init__(
        self, console: Console, state: ViewState, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._state = state
        self._clock = clock
        self._due = clock()
        self._live = Live(
            Dashboard(state),
            console=console,
            screen=console.is_terminal,
            auto_refresh=False,
            redirect_stdout=False,
        )
        self._held: list[logging.Handler] = []
        self._handler = _NoteHandler(state)

    def __enter__(self) -> Self:
        root = logging.getLogger()
        self._held = [h for h in root.handlers if isinstance(h, logging.StreamHandler)]
        self._held = [h for h in self._held if not isinstance(h, logging.FileHandler)]
        for handler in self._held:
            root.removeHandler(handler)
        root.addHandler(self._handler)
        try:
            self._live.start(refresh=True)
        except BaseException:
            self._restore_logging()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._live.stop()
        finally:
            self._restore_logging()
        for note in self._state.notes:
            self._console.print(note, markup=False, highlight=False, soft_wrap=True)

    def tick(self) -> bool:
        """Draw if the last picture is a quarter of a second old; True if it was drawn."""
        now = self._clock()
        if now < self._due:
            return False
        self._due = now + LEAST_SECONDS
        self._live.refresh()
        return True

    def _restore_logging(self) -> None:
        root = logging.getLogger()
        root.removeHandler(self._handler)
        for handler in self._held:
            root.addHandler(handler)
        self._held = []
