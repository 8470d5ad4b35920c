"""One run on the command line: signals, output files, dashboard, summary."""

from __future__ import annotations

import dataclasses
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from egomon.cli.outcome import check_expected, check_outputs, check_watched
from egomon.cli.output.alert_file import AlertFile
from egomon.cli.output.threaded_stream import threaded_log
from egomon.errors import SourceOpenError
from egomon.fusion.messages.types import AlertData, Data

if TYPE_CHECKING:
    from egomon.cli.page.folder import WorkFolder
    from egomon.config import Settings
    from egomon.fusion.event_publisher import EventListener
    from egomon.monitor import Monitor, RunSummary, SourceRequest
    from egomon.monitor.messages import LatencyModel
    from egomon.stream.frame import SourceKind

Reference = tuple[str, str, "SourceKind | None"]
"""Topic name, reference as written by the user, `live` or `file` (None = decided later)."""

# As shells do: 128 and the number of the signal.
EXIT_SIGINT = 130
EXIT_SIGTERM = 143


def has_terminal() -> bool:
    """Return whether this process has a controlling terminal that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def collect_from_now() -> None:
    """Collect garbage again where `main` put it off, but never look through what is there by now.

    A full collection would go through all modules, which holds up every thread for 30 to 60 ms.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


class Collector:
    """Collects events for the summary, the comparison and the report after the run."""

    def __init__(self, *, everything: bool) -> None:
        self._everything = everything
        self.events: list[tuple[str, Data]] = []

    def __call__(self, source: str, data: Data) -> None:
        """An `EventListener`."""
        if self._everything or isinstance(data, AlertData):
            self.events.append((source, data))

    @property
    def alerts(self) -> list[AlertData]:
        """Alert revisions in order."""
        return [data for _, data in self.events if isinstance(data, AlertData)]


class MonitorSession:
    """One run of the verbs `live` and `replay`, with outputs and signals."""

    def __init__(
        self,
        settings: Settings,
        *,
        out: Path | None,
        report: Path | None,
        json: bool,
        quiet: bool,
        expect: Path | None = None,
        live_page: bool = False,
        work: WorkFolder | None = None,
        reread: Callable[[], Settings] | None = None,
    ) -> None:
        self._settings = settings
        self._reread = reread
        self._report = report
        self._json = json
        self._quiet = quiet
        self._expect = expect
        self._live_page, self._work = live_page, work
        self._out = out
        self._file: AlertFile | None = None
        self._collector = Collector(everything=report is not None)
        self._signal: int | None = None

    @threaded_log()
    def run(
        self,
        references: Sequence[Reference],
        *,
        speed: float = 0.0,
        range_seconds: tuple[float, float | None] = (0.0, None),
        duration_seconds: float | None = None,
        latency_model: LatencyModel | None = None,
        subscriber_seconds: float = 0.0,
    ) -> RunSummary:
        """Run to the end and print the summary.

        Raises:
            EgomonError: see `Monitor.run`; also if the alerts differ from the expected ones.
        """
        self._check_early(references)
        from egomon.cli.phones import Phones
        from egomon.cli.screen import Screen
        from egomon.monitor import Monitor, SourceRequest
        from egomon.monitor.operations.large_endpoint import check_large

        source = self._settings.source
        given = [SourceRequest.of(name, ref, kind, source) for name, ref, kind in references]
        self._load_named(references)
        if self._settings.model.large and not any(request.is_live for request in given):
            check_large(self._settings)  # only a live run goes on without it
        if self._out is not None:
            self._file = AlertFile(self._out, live=self._reread is not None)
        phones = Phones(given, self._settings, quiet=self._quiet)
        requests = phones.requests
        screen = Screen(requests, quiet=self._quiet or self._json, hold=lambda: phones.are_awaited)
        listeners: list[EventListener] = [self._collector, screen.listener, phones.publish]
        if self._file is not None:
            listeners.append(self._file)
        shown: AbstractContextManager[str] = nullcontext("")
        page = None
        if self._live_page:
            from egomon.cli.page.live_page import HERE, LivePage, served

            title = ", ".join(name for name, _, _ in references)
            page = LivePage(title, self._settings, self._work)
            listeners.append(page.hub.publish)
        monitor = Monitor(
            requests,
            self._settings,
            listeners=listeners,
            speed=speed,
            range_seconds=range_seconds,
            duration_seconds=duration_seconds,
            latency_model=latency_model,
            subscriber_seconds=subscriber_seconds,
            reread=self._reread,
        )
        if page is not None:
            page.connect(monitor)
            shown = served(page.hub, self._settings.view.address or HERE)
        previous = self._catch_signals(monitor)
        collect_from_now()
        try:
            with phones, shown as screen.page_url, screen:
                summary = monitor.run(lambda: screen.tick(monitor))
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
            if page is not None:
                page.close()
            if self._file is not None:
                self._file.close()
        self._finish(summary, requests)
        if any(request.is_live for request in requests):
            check_watched(summary, monitor.inputs)
        return summary

    def _check_early(self, references: Sequence[Reference]) -> None:
        """Report errors that can be found without loading a model, or what reads a source."""
        from egomon.branches.bundle.libraries import find_library
        from egomon.branches.bundle.locate import find_bundle, read_card
        from egomon.cli.plugins import check_names
        from egomon.fusion.sinks.open import find_sink
        from egomon.monitor.operations.large_endpoint import check_endpoint
        from egomon.stream.sources.open import find_source, is_live

        check_names()
        for uri in self._settings.sinks.uris:
            find_sink(uri)
        for _, reference, _ in references:
            if find_source(reference).name == "/dev" and not self._settings.source.wait:
                from egomon.stream.sources.webcam.camera import check_device

                check_device(reference)
            is_path = not is_live(reference) and ":" not in reference
            if is_path and not Path(reference).exists():
                raise SourceOpenError(
                    f"{reference} not found; give a file, a URL or a camera of `egomon devices`",
                    code="STREAM_NOT_FOUND",
                )
        check_outputs((self._out, self._report), [each[1] for each in references], self._expect)
        card = read_card(find_bundle(self._settings.model.name))
        find_library(card.frame_encoder.library)
        if self._settings.model.large:
            check_endpoint(self._settings.large, card)

    def _load_named(self, references: Sequence[Reference]) -> None:
        """Import what sinks and sources need, so that a plug-in that is broken is told here."""
        from egomon.fusion.sinks.open import SINKS, find_sink
        from egomon.stream.sources.open import SOURCES, find_source

        for uri in self._settings.sinks.uris:
            SINKS.load(find_sink(uri))
        for _, reference, _ in references:
            SOURCES.load(find_source(reference))

    def _finish(self, summary: RunSummary, requests: Sequence[SourceRequest]) -> None:
        if self._file is not None:
            self._file.check()
        if self._report is not None:
            self._write_report(summary, requests)
        self._print(summary)
        if self._expect is not None:
            check_expected(self._collector.alerts, self._expect)
        if self._signal is not None:
            sys.exit(EXIT_SIGINT if self._signal == signal.SIGINT else EXIT_SIGTERM)

    def _catch_signals(self, monitor: Monitor) -> dict[int, Any]:
        """Handle signals: the first closes alerts and ends the run, the second ends it at once."""

        def on_signal(number: int, frame: object) -> None:
            code = EXIT_SIGINT if number == signal.SIGINT else EXIT_SIGTERM
            if self._signal is not None:
                os._exit(code)
            self._signal = number
            if not monitor.watching:  # still loading: nothing was announced, nothing to close
                sys.exit(code)
            monitor.stop("shutdown")

        handlers: dict[int, Any] = {signal.SIGINT: on_signal, signal.SIGTERM: on_signal}
        if self._reread is not None:
            began_in_terminal = has_terminal()

            def on_hangup(number: int, frame: object) -> None:
                """End with the terminal that was closed; otherwise read the settings again."""
                if began_in_terminal and not has_terminal():
                    on_signal(number, frame)
                else:
                    monitor.request_reload()

            handlers[signal.SIGHUP] = on_hangup
        return {number: signal.signal(number, each) for number, each in handlers.items()}

    def _write_report(self, summary: RunSummary, requests: Sequence[SourceRequest]) -> None:
        from egomon.report import alert_stills, write_report
        from egomon.stream.sources.reference import local_path

        assert self._report is not None
        files = {each.name: local_path(each.reference) for each in requests if not each.is_live}
        videos = {name: Path(path) for name, path in files.items() if path and os.path.isfile(path)}
        write_report(
            self._collector.events,
            self._report,
            title=", ".join(request.name for request in requests),
            video=videos.get(requests[0].name),
            bundle={"model": summary.model},
            media=alert_stills(self._collector.events, videos),
        )

    def _print(self, summary: RunSummary) -> None:
        latest = {alert.alert_id: alert for alert in self._collector.alerts}
        if self._json:
            import msgspec

            body = {**dataclasses.asdict(summary), "alert_list": list(latest.values())}
            sys.stdout.write(msgspec.json.encode(body).decode() + "\n")
            return
        from egomon.cli.printing import print_summary

        print_summary(summary, list(latest.values()))
