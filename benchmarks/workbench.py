"""Measures the demonstration bundle on fresh rendered recordings, through the real replay path.

    python benchmarks/workbench.py [--bundle DIR] [--minutes 40] [--seed 90210] [--real FOLDER]

Prints ROC AUC by kind of mistake for both branches, their plain mean and the gate, on the
training workflows and on unseen ones; events of a typical stream; and how often the guard speaks.
No seed of the training run occurs here.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from egomon.branches.bundle import Bundle, load_bundle
from egomon.config import load_settings
from egomon.fusion.wire import AlertData, Data, SegmentData
from egomon.monitor import Monitor, SourceRequest
from egomon.train.simulator import EXECUTION, MISTAKES, WORKFLOW_MISTAKES, simulate
from egomon.train.workbench.scores import auc

KINDS = ("all", "execution", "workflow", *MISTAKES)
SCORES = ("small", "large", "mean", "gate")
VIDEO_SUFFIXES = {".mp4", ".avi", ".mkv", ".mov"}


@dataclass
class Heard:
    """What the monitor said about one video."""

    segments: list[SegmentData] = field(default_factory=list)
    alerts: list[AlertData] = field(default_factory=list)

    def __call__(self, _: str, data: Data) -> None:
        """Keep what is of use."""
        if isinstance(data, SegmentData):
            self.segments.append(data)
        elif isinstance(data, AlertData) and data.phase == "new":
            self.alerts.append(data)


def replay(bundle: Bundle, video: Path) -> Heard:
    heard = Heard()
    settings = load_settings(
        None,
        {
            "bus": {"publish": ("tcp://127.0.0.1:*",), "control": "none"},
            "store": {"path": "none"},
            "decision": {"refine_deadline_seconds": 60.0},
        },
    )
    request = SourceRequest.of("bench", str(video), "file")
    Monitor([request], settings, bundle=bundle, listeners=[heard]).run()
    return heard


def log_odds(segment: SegmentData) -> dict[str, float]:
    """Every score that the segment has."""
    small = np.array(segment.scores.small.logits)
    found = {"small": small}
    large, weights = segment.scores.large, segment.scores.gate
    if large is not None and weights is not None:
        logits = np.array(large.logits)
        found["large"] = logits
        found["mean"] = (small + logits) / 2
        found["gate"] = weights.small * small + weights.large * logits
    return {name: float(z[1] - z[0]) for name, z in found.items()}


@dataclass
class Measured:
    """One set of recordings."""

    scores: dict[str, list[float]] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)
    weights: list[tuple[str, float]] = field(default_factory=list)
    found: int = 0
    missed: int = 0
    false: int = 0
    seconds: float = 0.0
    steps: int = 0
    steps_seen: int = 0
    windows: int = 0
    foreign: int = 0

    def add(self, heard: Heard, rows: Sequence[dict]) -> None:
        """Count one video in."""
        seen = set()
        for segment in heard.segments:
            row = best(rows, segment.segment.media_start, segment.segment.media_end)
            kind = kind_of(row)
            seen.add(None if row is None else row["start"])
            for name, value in log_odds(segment).items():
                self.scores.setdefault(name, []).append(value)
            self.kinds.append(kind)
            if segment.scores.gate is not None:
                self.weights.append((kind, segment.scores.gate.large))
            self.windows += 1
            self.foreign += segment.out_of_domain
        hit = set()
        for alert in heard.alerts:
            row = best(rows, alert.segment.media_start, alert.segment.media_end)
            if row is not None and row["label"]:
                hit.add(row["start"])
            else:
                self.false += 1
        wrong = {row["start"] for row in rows if row["label"]}
        self.found += len(hit & wrong)
        self.missed += len(wrong - hit)
        self.steps += len(rows)
        self.steps_seen += len(seen - {None})

    @property
    def f1(self) -> float:
        """Of events."""
        return 2 * self.found / max(1, 2 * self.found + self.missed + self.false)

    @property
    def false_per_minute(self) -> float:
        """False alarms."""
        return self.false / self.seconds * 60

    def table(self) -> dict[str, dict[str, float]]:
        """AUC by score and kind."""
        kinds = np.array(self.kinds)
        groups = {"all": MISTAKES, "execution": EXECUTION, "workflow": WORKFLOW_MISTAKES}
        result: dict[str, dict[str, float]] = {}
        for name in SCORES:
            if name not in self.scores:
                continue
            values = np.array(self.scores[name])
            result[name] = {}
            for kind in KINDS:
                kept = (kinds == "ok") | np.isin(kinds, groups.get(kind, (kind,)))
                result[name][kind] = auc(values[kept], kinds[kept] != "ok")
        return result


def best(rows: Sequence[dict], start: float, end: float) -> dict | None:
    """The step that a span overlaps most, by more than half a second."""
    overlaps = [min(end, row["end"]) - max(start, row["start"]) for row in rows]
    if not overlaps or max(overlaps) <= 0.5:
        return None
    return rows[int(np.argmax(overlaps))]


def kind_of(row: dict | None) -> str:
    if row is None or not row["label"]:
        return "ok"
    return next(tag for tag in row["tags"] if tag in MISTAKES)


def measure(bundle: Bundle, folder: Path) -> Measured:
    rows = [json.loads(line) for line in (folder / "segments.jsonl").read_text().splitlines()]
    measured = Measured()
    for video in sorted(folder.glob("*.mp4")):
        own = [row for row in rows if row["recording"] == video.name]
        measured.add(replay(bundle, video), own)
        measured.seconds += duration(video)
    return measured


def duration(video: Path) -> float:
    import av

    with av.open(str(video)) as container:
        return float((container.duration or 0) / av.time_base)


def show(title: str, measured: Measured) -> None:
    print(f"\n{title}: {measured.steps} steps, {measured.seconds / 60:.1f} min")
    table = measured.table()
    print("  kind        " + "".join(f"{name:>8}" for name in table))
    for kind in KINDS:
        count = sum(k == kind for k in measured.kinds) if kind in MISTAKES else 0
        cells = "".join(f"{table[name][kind]:8.3f}" for name in table)
        print(f"  {kind:<12}{cells}" + (f"   n={count}" if count else ""))
    print(
        f"  steps found {measured.steps_seen / measured.steps:.3f}, events: F1 {measured.f1:.3f} "
        f"(found {measured.found}, missed {measured.missed}, false {measured.false}), "
        f"{measured.false_per_minute:.3f} false alarms/min, "
        f"{measured.foreign}/{measured.windows} segments called foreign"
    )
    if measured.weights:
        for kind in ("ok", *MISTAKES):
            share = [weight for k, weight in measured.weights if k == kind]
            if share:
                print(f"  weight of the large branch on {kind}: {np.mean(share):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", default="workbench")
    parser.add_argument(
        "--minutes", type=float, default=40.0, help="typical footage; the rest half"
    )
    parser.add_argument("--seed", type=int, default=90210)
    parser.add_argument("--real", type=Path, help="folder of real videos: all must be foreign")
    options = parser.parse_args()
    bundle = load_bundle(options.bundle)
    print(bundle.model_id)
    sets = {
        "typical (6 % mistakes, training workflows)": ("seen", 0.06, options.minutes),
        "many mistakes (35 %, training workflows)": ("seen", 0.35, options.minutes / 2),
        "unseen workflows (35 % mistakes)": ("unseen", 0.35, options.minutes / 2),
    }
    for number, (title, (workflows, rate, minutes)) in enumerate(sets.items()):
        with tempfile.TemporaryDirectory() as folder:
            simulate(Path(folder), options.seed + number, minutes, workflows, mistake_rate=rate)
            show(title, measure(bundle, Path(folder)))
    if options.real is not None:
        print("\nreal video: segments, of which foreign, alerts")
        for video in sorted(options.real.iterdir()):
            if video.suffix in VIDEO_SUFFIXES:
                heard = replay(bundle, video)
                foreign = sum(segment.out_of_domain for segment in heard.segments)
                print(f"  {video.name}: {len(heard.segments)}, {foreign}, {len(heard.alerts)}")


if __name__ == "__main__":
    main()
