"""The screen of a run: dashboard on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

from egomon.cli.keys import Keys, in_foreground
from egomon.cli.output.threaded_stream import ThreadedStream
from egomon.fusion.messages.types import Data
from egomon.stream.channel import Channel

if TYPE_CHECKING:
    from egomon.monitor import Monitor, SourceRequest

# A terminal over a slow line may stand still; what it misses is in the store.
EVENTS_CAPACITY = 4096


class Screen:
    """Receives events in the emit thread and draws them in the main thread.

    Args:
        requests: the sources.
        quiet: draw nothing.
        hold: whether the terminal shows what the dashboard must not cover yet.
    """

    def __init__(
        self,
        requests: Sequence[SourceRequest],
        *,
        quiet: bool,
        hold: Callable[[], bool] = lambda: False,
    ) -> None:
        self.page_url = ""
        """Address of the live page, kept on the dashboard."""
        self._events: Channel[tuple[str, Data]] = Channel(EVENTS_CAPACITY, on_full="drop_oldest")
        self._requests = requests
        self._quiet = quiet
        self._hold = hold
        self._keys: Keys | None = None
        self._dashboard: Any = None
        self._state: Any = None
        self._plain: Any = None
        self._stream: ThreadedStream | None = None
        self._started = time.monotonic()
        # In the background (`&`) it would draw over what the person does there.
        self._use_dashboard = (
            not quiet and sys.stderr.isatty() and in_foreground(sys.stderr.fileno())
        )

    def listener(self, source: str, data: Data) -> None:
        """An `EventListener`; never waits."""
        if not self._quiet:
            self._events.put((source, data))

    def __enter__(self) -> Self:
        if self._use_dashboard:
            from egomon.view.state import ViewState

            self._state = ViewState([request.name for request in self._requests])
            self._state.page_url = self.page_url
            self._state.is_loading = True
            self._state.has_keys = sys.stdin.isatty()
        if self._use_dashboard and not self._hold():
            self._begin_dashboard()
        else:
            from egomon.view.plain import PlainView

            self._stream = ThreadedStream(sys.stderr)
            self._plain = PlainView(self._stream)
        return self

    def _begin_dashboard(self) -> None:
        from egomon.view.console import PlainConsole
        from egomon.view.live import LiveView

        self._plain = None
        self._dashboard = LiveView(PlainConsole(stderr=True), self._state)
        self._dashboard.__enter__()
        self._keys = Keys().__enter__()

    def __exit__(self, *exc: object) -> None:
        self._drain()
        if self._keys is not None:
            self._keys.__exit__(None, None, None)
        if self._dashboard is not None:
            self._dashboard.__exit__(*exc)
        if self._stream is not None:
            self._stream.close()

    def tick(self, monitor: Monitor) -> None:
        """Show new events; called four times a second."""
        self._drain()
        if self._dashboard is None and self._use_dashboard and not self._hold():
            self._begin_dashboard()
        if self._dashboard is None or not in_foreground(sys.stderr.fileno()):
            return
        self._state.is_loading = False
        self._obey(monitor)
        item = monitor.inputs[0]
        if not item.is_live and item.duration_seconds:
            fraction = min(1.0, item.media_seconds / item.duration_seconds)
            elapsed = time.monotonic() - self._started
            left = elapsed * (1 - fraction) / fraction if fraction > 0 else None
            self._state.set_progress(fraction, left)
        self._dashboard.tick()

    def _obey(self, monitor: Monitor) -> None:
        """Handle keys of the dashboard: r begins a new workflow, q ends the run."""
        pressed = self._keys.pressed() if self._keys is not None else ""
        if "r" in pressed:
            for item in monitor.inputs:
                monitor.reset_context(item.name)
        if "q" in pressed:
            monitor.stop("shutdown")

    def _drain(self) -> None:
        while (event := self._events.get(0)) is not None:
            for shown in (self._state, self._plain):
                if shown is not None:
                    shown.apply(*event)
