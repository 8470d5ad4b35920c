"""Text from bundles, files and messages is shown, never obeyed: terminal, log, CSV and page."""

from __future__ import annotations

import contextlib
import csv
import io
import logging
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.table import Table

from egomon.cli.app import app
from egomon.cli.printing import line_of, print_alerts, print_revisions
from egomon.cli.stdout import say
from egomon.fusion.messages.types import AlertData, BranchScores, Scores, SegmentRef, Step
from egomon.fusion.store.events import EventStore
from egomon.fusion.transport.server import EventServer
from egomon.report import write_report
from egomon.stream.redact import RedactFilter
from egomon.view.console import PlainConsole

EVIL = st.text(
    st.sampled_from("[]/=@+\\<>&'\"\x1b\x07\x9b\u202e\u2028\udce9\r\n\tx:") | st.characters(),
    max_size=40,
) | st.sampled_from(
    ("wedge [/nope] x", "[bold]", "[/]", ":smile:", "\x1b]0;title\x07", "</script><script>alert(1)")
)


def alert_saying(text: str) -> AlertData:
    return AlertData(
        alert_id="a-1",
        rev=1,
        phase="new",
        state="confirmed",
        reason="small_score",
        explanation=text,
        p=0.9,
        segment=SegmentRef(id=1, epoch=0, media_start=0.0, media_end=2.0, frames=32),
        media_opened=2.0,
        scores=Scores(small=BranchScores(p=0.9, logits=(-1.0, 1.0)), threshold=0.5, t_off=0.4),
        model="demo@0123456789ab",
        step=Step(id="s0", text=text, conf=0.5),
    )


def is_harmless(shown: str) -> bool:
    shown.encode()
    return all(c.isprintable() or c in "\n\t" for c in shown)


@settings(max_examples=60, deadline=None)
@given(EVIL)
def test_whatever_a_text_holds_the_terminal_only_shows_it(text: str) -> None:
    alert, out = alert_saying(text), io.StringIO()
    table = Table("step", title=text)
    table.add_row(text)
    with contextlib.redirect_stdout(out):
        print_alerts([alert], ids=True)
        print_revisions([alert])
        say(text)
        PlainConsole(width=200).print(text, table)
    assert is_harmless(out.getvalue())
    assert is_harmless(line_of("cam0", "alert", alert))


def test_what_looks_like_markup_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_alerts([alert_saying("wedge [/nope] :x: [bold]y")])
    assert capsys.readouterr().out.count("wedge [/nope] :x: [bold]y") == 2


@settings(max_examples=60, deadline=None)
@given(EVIL)
def test_whatever_a_text_holds_a_log_line_only_shows_it(text: str) -> None:
    record = logging.LogRecord("x", logging.ERROR, "", 0, "step %s", (text,), None)
    assert RedactFilter().filter(record)
    assert is_harmless(record.getMessage())


@settings(max_examples=15, deadline=None)
@given(text=EVIL)
def test_whatever_a_text_holds_the_page_is_one_page(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    plain = write_report([("cam0", alert_saying("plain"))], folder / "plain.html", title="t")
    page = write_report([("cam0", alert_saying(text))], folder / "evil.html", title=text)
    scripts = plain.read_text(encoding="utf-8").count("<script")
    assert page.read_text(encoding="utf-8").count("<script") == scripts


def test_a_report_of_a_file_whose_name_is_not_unicode_is_written(tmp_path: Path) -> None:
    name = b"caf\xe9.mp4".decode(errors="surrogateescape")
    page = write_report([("cam0", alert_saying(name))], tmp_path / "page.html", title=name)
    assert "caf\\udce9.mp4" in page.read_text(encoding="utf-8")


def test_no_spreadsheet_runs_a_text_of_an_exported_alert(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    with EventStore(path) as events, EventServer((), None, host="here", boot="b1") as bus:
        events.begin(boot="b1", sources=["cam0"], started_wall_ns=1)
        for number, text in enumerate(("=1+1", "\t@SUM(A1)", "fine, so far")):
            data = msgspec.structs.replace(alert_saying(text), alert_id=f"a-{number}")
            events.append([bus.prepare("cam0", data).event])
    shown = CliRunner().invoke(app, ["alerts", "export", "--format", "csv", "--store", str(path)])
    told = {row["explanation"] for row in csv.DictReader(io.StringIO(shown.stdout))}
    assert told == {"'=1+1", "'\t@SUM(A1)", "fine, so far"}
