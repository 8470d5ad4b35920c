"""What `teach` prints: the verdict in one sentence, then what was learned and how it did."""

from __future__ import annotations

import sys

import msgspec
from rich.console import Console
from rich.text import Text

from egomon.cli.check_taught import CheckReport
from egomon.train.teach import TeachReport

STYLES = {"ready": "bold green", "usable": "bold yellow", "failed": "bold red"}


def show_taught(report: TeachReport, tried: CheckReport | None, *, json: bool) -> None:
    """A sentence and tables, or one JSON object."""
    if json:
        data = report.to_json() | ({} if tried is None else {"check": tried.to_json()})
        sys.stdout.write(msgspec.json.encode(data).decode() + "\n")
        return
    console = Console()
    console.print(Text(report.sentence, style=STYLES[report.verdict]))
    console.print(report.table())
    if tried is not None:
        console.print(tried.table())
