"""Teaches from made runs and watches others, with the product's own code, and scores alerts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from egomon.branches.load_bundle import Bundle, load_bundle, save_bundle
from egomon.branches.taught.corrections import Correction, Said, as_kind, kind_of
from egomon.branches.taught.workflow_file import WORKFLOW_FILE, write_graphs
from egomon.config import Settings, load_settings
from egomon.fusion.messages.types import AlertData, Data, SegmentData
from egomon.monitor import Monitor, SourceRequest
from egomon.train.features.replay_vectors import VectorEncoder, VectorSource
from egomon.train.metrics.events import (
    EARLY_SECONDS,
    LATE_SECONDS,
    AlertTime,
    EventReport,
    evaluate_events,
)
from egomon.train.teach.base import Base
from egomon.train.teach.report import TeachReport
from egomon.train.teach.video import learn_bundle
from teach_parts.clips import Row, Run

BUDGET = 6.0
"""False alarms an hour that `teach` is asked for."""
RIGHT_REASONS = {
    "missing": ("not been seen", "has not been", "left out", "skipped", "missing"),
    "order": ("not been seen", "has not been", "usually comes", "before", "order"),
    "repeated": ("again", "a second time", "already"),
    "foreign": ("not look like any step", "is not part of", "belongs to no step"),
    "long": ("goes on for",),
}
"""What an alert's sentence says where it names the kind of the mistake."""


@dataclass(frozen=True, slots=True)
class Told:
    """An alert."""

    t_seconds: float
    sentence: str
    step: str = ""
    """Id of the step that it was told at."""


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """What the monitor said of one run."""

    run: Run
    alerts: tuple[Told, ...]
    steps: tuple[tuple[float, float, str], ...]
    """(start, end, step) of each scored segment."""
    foreign_share: float
    """Share of segments that the guard took for another kind of footage."""


@dataclass
class Scores:
    """Watched runs of one row of the table."""

    watched: list[Watched] = field(default_factory=list)

    @property
    def events(self) -> EventReport:
        """Alerts against mistakes, as `egomon evaluate --videos` counts them."""
        named = [(f"{i}", w) for i, w in enumerate(self.watched)]
        alerts = [AlertTime(name, a.t_seconds) for name, w in named for a in w.alerts]
        rows = [replace(row, recording=name) for name, w in named for row in w.run.rows]
        return evaluate_events(alerts, rows, sum(w.run.seconds for w in self.watched) / 3600)

    @property
    def silent(self) -> tuple[int, int]:
        """Correct runs without an alert, and all correct runs."""
        quiet = [not w.alerts for w in self.watched if w.run.correct]
        return sum(quiet), len(quiet)

    @property
    def reasons(self) -> tuple[int, int]:
        """Mistakes whose first alert names their kind, and mistakes with an alert."""
        right = [
            any(words in first.sentence for words in RIGHT_REASONS[row.tags[0]])
            for w in self.watched
            for row in w.run.rows
            if row.label and (first := first_alert(w, row)) is not None
        ]
        return sum(right), len(right)

    @property
    def early(self) -> int:
        """Alerts in the first step of a run, where nothing is wrong."""
        return sum(a.t_seconds <= w.run.rows[0].end for w in self.watched for a in w.alerts)


def first_alert(watched: Watched, row: Row) -> Told | None:
    """The first alert in the window of a mistake."""
    low, high = row.start - EARLY_SECONDS, row.end + LATE_SECONDS
    return next((a for a in watched.alerts if low <= a.t_seconds <= high), None)


def teach_runs(
    base: Base, demonstrations: Sequence[Run], tests: Iterable[Run]
) -> tuple[TeachReport, list[Watched]]:
    """Teach a bundle from some runs, save and load it, and replay others."""
    with tempfile.TemporaryDirectory() as scratch:
        report = write_taught(base, demonstrations, Path(scratch) / "taught")
        return report, watch_all(Path(scratch) / "taught", tests)


def write_taught(base: Base, demonstrations: Sequence[Run], folder: Path) -> TeachReport:
    """Teach and save."""
    recordings = [run.recording() for run in demonstrations]
    taught, card, tensors = learn_bundle(base, recordings, "taught", BUDGET, lambda what, _: None)
    save_bundle(folder, card, tensors)
    write_graphs(taught.graphs, folder / WORKFLOW_FILE)
    return taught.report


def watch_all(folder: Path, runs: Iterable[Run]) -> list[Watched]:
    """Load a bundle and replay runs."""
    bundle = load_bundle(folder, with_encoder=False)
    settings = load_settings(
        None, {"model": {"name": str(folder)}, "bus": {"publish": (), "control": "none"}}
    )
    return [watch(run, bundle, settings) for run in runs]


def watch(run: Run, bundle: Bundle, settings: Settings) -> Watched:
    """Replay one run through the monitor."""
    events: list[Data] = []

    def keep(source: str, data: Data) -> None:
        events.append(data)

    recording = run.recording()
    source = VectorSource(recording, "video", run.fps)
    request = SourceRequest("video", run.name, False, source)
    seeing = replace(bundle, encoder=VectorEncoder(recording))
    Monitor([request], settings, bundle=seeing, listeners=[keep]).run()
    alerts = [e for e in events if isinstance(e, AlertData)]
    taken_back = {a.alert_id for a in alerts if a.phase == "retract"}
    segments = [e for e in events if isinstance(e, SegmentData)]
    return Watched(
        run,
        tuple(
            Told(a.media_opened, a.explanation, "" if a.step is None else a.step.id)
            for a in alerts
            if a.rev == 1 and a.alert_id not in taken_back
        ),
        tuple(
            (s.segment.media_start, s.segment.media_end, s.step.id)
            for s in segments
            if s.step is not None
        ),
        float(np.mean([s.out_of_domain for s in segments])) if segments else 0.0,
    )


def said_of(watched: Iterable[Watched]) -> list[Correction]:
    """What a person who knows better says of each alert, and of each mistake without one."""
    rows = []
    for w in watched:
        wrong = [row for row in w.run.rows if row.label]
        served = {id(first_alert(w, row)) for row in wrong}
        for alert in w.alerts:
            kind = kind_of(alert.sentence)
            if kind is not None:
                step = "" if kind == "foreign" else alert.step
                said: Said = "right" if id(alert) in served else "wrong"
                rows.append(Correction(said=said, kind=kind, step=step))
        for row in wrong:
            kind = as_kind("missing" if row.tags[0] == "order" else row.tags[0])
            if kind is not None and first_alert(w, row) is None:
                rows.append(Correction(said="missed", kind=kind))
    return rows


def steps_found(watched: Sequence[Watched]) -> int:
    """How many steps of the procedure have a recognised step of their own, by majority."""
    votes: dict[str, dict[str, float]] = {}
    for w in watched:
        for row in w.run.rows:
            own = votes.setdefault(row.text, {})
            for start, end, step in w.steps:
                shared = min(end, row.end) - max(start, row.start)
                if shared > 0:
                    own[step] = own.get(step, 0.0) + shared
    best = {text: max(own, key=lambda step: own[step]) for text, own in votes.items() if own}
    return len(set(best.values()))


def trivial(demonstrations: Sequence[Run], tests: Iterable[Run]) -> dict[str, list[Watched]]:
    """Rows that never look at a picture: no alert, one every ten seconds, one by the clock.

    `clock` tells once, when half of the demonstrations' mean length has passed; `count` tells
    once, when a run has lasted longer than the longest of them.
    """
    lengths = [run.seconds for run in demonstrations]
    half, longest = float(np.mean(lengths)) / 2, max(lengths)
    rules: dict[str, Callable[[float], list[float]]] = {
        "never": lambda seconds: [],
        "always": lambda seconds: [float(t) for t in np.arange(10.0, seconds, 10.0)],
        "clock": lambda seconds: [half] if half < seconds else [],
        "count": lambda seconds: [longest] if longest < seconds else [],
    }
    runs = list(tests)
    return {
        name: [Watched(run, tuple(Told(t, "") for t in rule(run.seconds)), (), 0.0) for run in runs]
        for name, rule in rules.items()
    }
