"""Tables and lines for people; stdout only, plain where it is not a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from egomon.fusion.messages.types import AlertData, Data, GapData, SegmentData, StatusData
from egomon.view.console import PlainConsole
from egomon.view.words import PHASES, clean, clock, reason_of

if TYPE_CHECKING:
    from egomon.monitor.messages import RunSummary

DOMAINS = {"unknown": "domain unknown", "in_domain": "in domain", "out_of_domain": "out of domain"}
WIDE = 120
"""Width where stdout is no terminal, so that rows are not folded."""


def plain_console() -> PlainConsole:
    """stdout; wide where it is no terminal."""
    console = PlainConsole(highlight=False)
    return console if console.is_terminal else PlainConsole(highlight=False, width=WIDE)


def line_of(source: str, kind: str, data: Data) -> str:
    """Format a message as one line; control characters of the sender are removed."""
    return clean(_line_of(source, kind, data))


def _line_of(source: str, kind: str, data: Data) -> str:
    if isinstance(data, AlertData):
        span = f"{clock(data.segment.media_start)}-{clock(data.segment.media_end)}"
        sign = PHASES[data.phase]
        return f"{source} {sign:9} p={data.p:.2f} {span} {data.explanation} [{data.alert_id}]"
    if isinstance(data, SegmentData):
        span = f"{clock(data.segment.media_start)}-{clock(data.segment.media_end)}"
        step = f" {data.step.text!r}" if data.step else ""
        return f"{source} segment   p={data.p:.2f} {span} {data.stage}{step}"
    if isinstance(data, StatusData):
        error = f" ({data.error.code}: {data.error.message})" if data.error else ""
        return f"{source} status    {data.source_state}, {DOMAINS[data.domain]}, {data.mode}{error}"
    if isinstance(data, GapData):
        return f"{source} gap       {data.count} x {data.cause}"
    import msgspec

    return f"{source} {kind:9} {msgspec.json.encode(data).decode()}"


def print_alerts(alerts: Sequence[AlertData], *, ids: bool = False) -> None:
    """Print a table of alerts in the given order, with the ids that other commands take."""
    console = plain_console()
    if not alerts:
        console.print("no alerts")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("when", "p", "phase", "step", "what"):
        table.add_column(column, overflow="fold")
    if ids:
        table.add_column("id", no_wrap=True)
    for alert in alerts:
        span = f"{clock(alert.segment.media_start)}-{clock(alert.segment.media_end)}"
        step = alert.step.text if alert.step else "-"
        if ids and alert.t is not None:  # from a live camera: the clock says more than media time
            span = f"{alert.t.opened[:19].replace('T', ' ')} UTC"
        row = [span, f"{alert.p:.2f}", alert.phase, step, reason_of(alert)]
        table.add_row(*row, *([alert.alert_id] if ids else []))
    console.print(table)


def print_revisions(revisions: Sequence[Data]) -> None:
    """Print every revision of one alert."""
    for data in revisions:
        if isinstance(data, AlertData):
            print_line = f"rev {data.rev}  {data.reason:24} {line_of(data.source, 'alert', data)}"
            plain_console().print(print_line)


def print_summary(summary: RunSummary, alerts: Sequence[AlertData]) -> None:
    """Print counters and alerts of a run."""
    console = plain_console()
    speed = summary.media_seconds / summary.wall_seconds if summary.wall_seconds > 0 else 0.0
    dropped = {
        key.removeprefix("dropped_"): count
        for key, count in summary.frames.items()
        if key.startswith("dropped_") and count
    }
    console.print(
        f"{', '.join(summary.sources)}: {clock(summary.media_seconds)} of video in "
        f"{summary.wall_seconds:.1f} s ({speed:.1f}x), model {summary.model}",
    )
    frames = summary.frames
    console.print(
        f"frames: {frames.get('decoded', 0)} read, {frames.get('encoded', 0)} scored"
        + (f", lost: {_counts(dropped)}" if dropped else "")
        + f"; segments: {summary.segments}; alerts: {summary.alerts.get('new', 0)}",
    )
    for source, state in summary.domain.items():
        if state == "out_of_domain":
            console.print(
                f"{source}: out of domain - this footage is unlike what the model was trained "
                "on, so no mistakes are reported; teach it your work with `egomon teach`. If you "
                "did: this place differs from the recordings; add one run from here with "
                "`egomon teach --add`",
            )
    if summary.degraded:
        console.print("degraded: the large branch was not available at the end")
    if alerts:
        print_alerts(alerts)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {cause}" for cause, count in counts.items())
