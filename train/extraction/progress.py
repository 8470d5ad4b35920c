"""The line that an extraction shows: recordings, frames/s, segments/s, time that is left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class ExtractionProgress:
    """Shows how far a run is; any thread may tell it.

    Args:
        recordings: how many there are to encode.
        quiet: show nothing.
        clock: monotonic seconds.
    """

    def __init__(
        self, recordings: int, quiet: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._bar = Progress(
            TextColumn("{task.fields[line]}", markup=False),
            BarColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=quiet,
        )
        self._clock, self._lock = clock, threading.Lock()
        self._shares: dict[str, float] = {}
        self._recordings, self._frames, self._segments = recordings, 0, 0
        self._done = 0
        self._started = clock()
        self._task = self._bar.add_task("", total=float(recordings), line=self.line())

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def line(self) -> str:
        """The text before the bar."""
        seconds = max(self._clock() - self._started, 1e-9)
        return (
            f"{self._done}/{self._recordings} recordings, {self._frames / seconds:.1f} frames/s, "
            f"{self._segments / seconds:.1f} segments/s"
        )

    def on_frames(self, count: int) -> None:
        """So many more frames were encoded."""
        with self._lock:
            self._frames += count

    def on_segments(self, count: int) -> None:
        """So many more segments were embedded."""
        with self._lock:
            self._segments += count

    def on_share(self, name: str, share: float) -> None:
        """A recording is read as far as `share`, in [0, 1]; at 1 it is done."""
        with self._lock:
            self._shares[name] = share
            self._done = sum(share >= 1.0 for share in self._shares.values())
            completed = sum(self._shares.values())
            self._bar.update(self._task, completed=completed, line=self.line())
