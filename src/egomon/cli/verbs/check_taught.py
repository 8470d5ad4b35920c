"""`egomon teach --check`: a taught bundle on given recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table

from egomon.branches.load_bundle import load_bundle
from egomon.cli.verbs.evaluate_videos import Replayed, events_of, replay_videos
from egomon.errors import DataError
from egomon.train.datasets.table import read_table_file
from egomon.train.features.vector_cache import VectorCache
from egomon.train.metrics.events import EventReport


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Alerts of the bundle on each recording, with their errors where labels are known."""

    runs: tuple[Replayed, ...]
    events: EventReport | None

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        told = [
            {"recording": run.recording, "t_seconds": a.media_opened, "explanation": a.explanation}
            for run in self.runs
            for a in run.alerts
        ]
        return {"told": told} | ({} if self.events is None else self.events.to_json())

    def table(self) -> Group:
        """For people."""
        table = Table("recording", "at", "alert", title="Alerts")
        for run in self.runs:
            for alert in run.alerts:
                table.add_row(run.recording, f"{alert.media_opened:.1f} s", alert.explanation)
            if not run.alerts:
                table.add_row(run.recording, "", "no alert")
        return Group(table, *(() if self.events is None else (self.events.table(),)))


def check_taught(
    model: Path,
    videos: Sequence[Path],
    labels: Path | None,
    *,
    cache: VectorCache | None,
    quiet: bool = False,
) -> CheckReport:
    """Replay recordings, and compare with labels where there are any.

    Raises:
        DataError: the labels name none of the recordings, or two recordings have one name.
        SourceError: a video cannot be read.
    """
    named = {path.stem: path for path in videos}
    if len(named) < len(videos):
        raise DataError("two recordings of --check have one name; rename one of them")
    rows = None
    if labels is not None:
        rows = [r for r in read_table_file(labels) if r.label is not None]
        rows = [r for r in rows if Path(r.recording).stem in named]
        if not rows:
            raise DataError(f"{labels} labels none of these recordings: {', '.join(named)}")
    runs = replay_videos(load_bundle(model), str(model), named, cache=cache, quiet=quiet)
    events = None if rows is None else events_of(rows, runs)
    return CheckReport(tuple(runs.values()), events)
