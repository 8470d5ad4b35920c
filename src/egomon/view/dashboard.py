"""The dashboard: a title, one panel a source, the last alerts; fits its terminal exactly."""

from __future__ import annotations

import io
import textwrap

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from egomon.fusion.messages.types import AlertData, StatsData, StatusData
from egomon.view.state import SourceProgress, SourceView, ViewState
from egomon.view.strip import LEGEND, score_strip
from egomon.view.words import (
    ASCII_SIGNS,
    DOMAINS,
    OUT_OF_DOMAIN,
    PHASES,
    SOURCE_STATES,
    clean,
    clock,
    duration,
    reason_of,
    refiner_words,
    status_sentence,
)

WIDE = 120
"""From this width on, several sources stand side by side."""
FACTS = 6
"""Lines of a source panel above its strip."""
AXIS = 5
STEP_WIDTH = 24
LEAST_PANEL = FACTS + 2 + 2
MOST_STRIP_ROWS = 24
MOST_PANEL = FACTS + 2 + MOST_STRIP_ROWS + 2 + 2
KEYS = "keys: r begins a new cycle of the work, q ends the run"
MOST_ALERT_LINES = 6
GOOD, BAD, WARN = "green", "bold red", "bold yellow"
STATE_STYLES = {
    "online": GOOD,
    "stalled": BAD,
    "offline": BAD,
    "reconnecting": WARN,
    "connecting": WARN,
}


class Dashboard:
    """A rich renderable of a `ViewState` that takes its size from the terminal."""

    def __init__(self, state: ViewState) -> None:
        self._state = state

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = options.height or console.height
        yield render(self._state, options.max_width, height, ascii_only=options.ascii_only)


def render(
    state: ViewState, width: int, height: int, *, ascii_only: bool = False
) -> RenderableType:
    """The whole screen, at most `height` lines of `width` columns."""
    sources = list(state.sources.values())
    foot = [_line(text, "dim") for text in _foot(state)][: max(0, height - 4)]
    across = 2 if width >= WIDE and len(sources) > 1 else 1
    down = max(1, -(-len(sources) // across))
    left = height - 1 - len(foot)  # title
    wanted = 1 + sum(len(lines) for lines in _alert_lines(state, width, left))
    alert_rows = max(3, min(wanted, left - down * LEAST_PANEL, left // 3))
    panel_height = min(MOST_PANEL, (left - alert_rows) // down)
    panel_width = width // across
    parts: list[RenderableType] = [_title(state, width)]
    if panel_height >= LEAST_PANEL:
        panels = [_panel(view, panel_width, panel_height, ascii_only) for view in sources]
        parts += panels if across == 1 else [_side_by_side(panels, across)]
        alert_rows = left - down * panel_height
    else:
        brief = [line for view in sources for line in _brief(view, width, ascii_only)]
        if len(brief) > left - alert_rows:
            brief = brief[::2][: left - alert_rows]
        parts += brief
        alert_rows = left - len(brief)
    parts += [_alerts(state, width, alert_rows - 1), *foot]
    group = Group(*parts)
    return _to_ascii(group, width) if ascii_only else group


def _foot(state: ViewState) -> list[str]:
    """The last lines: the newest log line, and the keys."""
    note = [f"log: {state.notes[-1]}"] if state.notes else []
    return [*note, KEYS] if state.has_keys else note


def _side_by_side(panels: list[Panel], across: int) -> Table:
    table = Table.grid()
    for start in range(0, len(panels), across):
        table.add_row(*panels[start : start + across])
    return table


def _to_ascii(group: Group, width: int) -> Text:
    console = Console(width=width, record=True, file=io.StringIO(), color_system=None)
    console.print(group)
    return Text(console.export_text().translate(ASCII_SIGNS), no_wrap=True)


def _line(text: str, style: str = "") -> Text:
    return Text(clean(text), style=style, no_wrap=True, overflow="ellipsis")


def _title(state: ViewState, width: int) -> RenderableType:
    open_alerts = sum(alert.phase in {"new", "update"} for alert in state.alerts.values())
    page = f"  {clean(state.page_url)}" if state.page_url else ""
    counts = f"  alerts {state.alert_count}, open {open_alerts}{page}"
    if state.is_loading:
        counts = f"  loading the models, cameras open meanwhile{page}"
    left = Text.assemble(("egomon", "bold"), counts, no_wrap=True, overflow="ellipsis")
    if state.progress is None:
        return left
    table = Table.grid(expand=True)
    table.add_column()
    table.add_column(justify="right")
    table.add_row(left, _progress(state.progress, max(10, width // 4)))
    return table


def _progress(progress: SourceProgress, width: int) -> Text:
    done = round(progress.fraction * width)
    eta = "" if progress.eta_seconds is None else f", {duration(progress.eta_seconds)} left"
    bar = "#" * done + "-" * (width - done)
    return Text(f"[{bar}] {progress.fraction:4.0%}{eta}", no_wrap=True)


def _panel(view: SourceView, width: int, height: int, ascii_only: bool) -> Panel:
    sign, word = SOURCE_STATES[view.status.source_state]
    style = STATE_STYLES.get(view.status.source_state, "")
    if view.status.domain == "out_of_domain":
        style = WARN
    facts = _facts(view, width - 4)
    inner = height - 2
    legend = [_line(LEGEND, "dim")] if inner - len(facts) >= 5 else []
    rows = max(1, min(MOST_STRIP_ROWS, inner - len(facts) - len(legend) - 1))
    strip = _strip(view, width - 4, rows, ascii_only)
    title = Text(f" {clean(view.name)}  {sign} {word.split(':')[0]} ", style="bold")
    return Panel(
        Group(*[*facts, *strip, *legend][:inner]),
        title=title,
        title_align="left",
        border_style=style,
        box=box.ASCII if ascii_only else box.ROUNDED,
        height=height,
        width=width,
    )


def _facts(view: SourceView, width: int) -> list[Text]:
    stats, status = view.stats, view.status
    lines = _wrapped(_state_words(status), width, _state_style(status))
    if status.domain == "out_of_domain":
        lines += _wrapped(OUT_OF_DOMAIN, width, WARN)
    if stats is None:
        lines.append(_line("frames   waiting for the first statistics", "dim"))
    else:
        lines += [_line(text) for text in _stats_words(stats)]
    drops = view.drops()
    lost = ", ".join(f"{cause} {count}" for cause, count in sorted(drops.items())) or "none"
    lines.append(_line(f"lost     {lost}", WARN if drops else ""))
    lines.append(_line(f"scores   {refiner_words(status)}", WARN if status.degraded else ""))
    lines.append(_line(f"step     {view.step or 'not known'}"))
    return lines


def _wrapped(text: str, width: int, style: str) -> list[Text]:
    """At most two lines: an error or a warning is worth the second one."""
    first, *rest = textwrap.wrap(clean(text), max(20, width)) or [""]
    lines = [_line(first, style)]
    if rest:
        lines.append(_line(" ".join(rest), style))
    return lines


def _state_words(status: StatusData) -> str:
    sign, word = DOMAINS[status.domain]
    return f"{status_sentence(status)}   {sign} {word}"


def _state_style(status: StatusData) -> str:
    if status.domain == "out_of_domain":
        return WARN
    return STATE_STYLES.get(status.source_state, "")


def _stats_words(stats: StatsData) -> list[str]:
    frames, queues = stats.frames, stats.queues
    counts = "  ".join(f"{key} {frames.get(key, 0)}" for key in ("decoded", "sampled", "encoded"))
    waiting = "  ".join(f"{key} {depth}" for key, depth in queues.items())
    return [
        f"frames   {stats.fps:.1f} fps  at {clock(stats.media_seconds)}  {counts}",
        f"queues   {waiting}  segments {stats.segments}  memory {stats.rss_bytes >> 20} MiB",
    ]


def _strip(view: SourceView, width: int, rows: int, ascii_only: bool) -> list[Text]:
    lines = score_strip(view.scores, max(1, width - AXIS), rows, ascii_only=ascii_only)
    labels = {0: "1.0", rows - 1: "0.0"}
    if view.scores:
        threshold = view.scores[-1].threshold
        labels[rows - 1 - min(rows - 1, int(threshold * rows))] = f"{threshold:.2f}"
    return [
        Text.assemble((f"{labels.get(index, ''):{AXIS}}", "dim"), line, no_wrap=True)
        for index, line in enumerate(lines)
    ]


def _brief(view: SourceView, width: int, ascii_only: bool) -> list[Text]:
    """A line of words and one of scores, where there is no room for a panel."""
    stats = view.stats
    now = f"{stats.fps:.0f} fps at {clock(stats.media_seconds)}" if stats else "no statistics yet"
    p = f"  p {view.scores[-1].p:.2f}" if view.scores else ""
    words = f"{view.name}: {_state_words(view.status)}  {now}{p}"
    bars = score_strip(view.scores, width, 1, ascii_only=ascii_only)[0]
    return [_line(words, _state_style(view.status)), bars]


def _alerts(state: ViewState, width: int, rows: int) -> RenderableType:
    if not state.alerts:
        return _line("no alerts so far", "dim")
    step_width = STEP_WIDTH if width >= WIDE else 0
    step = f"  {'step':{step_width}}" if step_width else ""
    head = _line(f"{'when':>9}  {'phase':9} {'p':>4}{step}  what looks wrong", "dim")
    lines: list[Text] = []
    for whole in _alert_lines(state, width, max(0, rows)):
        room = rows - len(lines)
        lines += whole if len(whole) <= room else whole[: max(0, room)]
    return Group(head, *lines)


def _alert_lines(state: ViewState, width: int, most: int) -> list[list[Text]]:
    """The lines of each of the last alerts, newest first: its sentence is never cut."""
    step_width = STEP_WIDTH if width >= WIDE else 0
    return [_alert(alert, step_width, width) for alert in state.last_alerts(most)]


def _alert(alert: AlertData, step_width: int, width: int) -> list[Text]:
    step = clean(alert.step.text) if alert.step else "-"
    what = reason_of(alert)
    if step_width:
        shown = f"  {step[:step_width]:{step_width}}"
    else:
        shown = ""
        what = what if step in what else f"{step}: {what}"
    style = {"new": BAD, "update": BAD, "retract": "dim"}.get(alert.phase, "")
    when = clock(alert.media_opened)
    head = f"{when:>9}  {PHASES[alert.phase]:9} {alert.p:4.2f}{shown}  "
    indent = " " * (len(head) if len(head) < width // 2 else 2)
    wrapped = textwrap.wrap(
        head + what, max(20, width), subsequent_indent=indent, drop_whitespace=True
    )
    return [_line(line, style) for line in wrapped[:MOST_ALERT_LINES]]
