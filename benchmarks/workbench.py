"""Measures the demonstration bundle on fresh rendered recordings, through the real replay path.

    python benchmarks/workbench.py [--bundle DIR] [--minutes 40] [--seed 90210] [--real FOLDER]
                                   [--json]

Prints ROC AUC by kind of mistake for both branches, their plain mean and the gate, beside rows that
never look at a pixel (duration, place in the recording), on the training workflows and on unseen
ones; the events that alerts make, with the large branch and without it, beside an alert on every
segment; and how often the guard speaks. No seed of the training run occurs here.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from egomon.branches.load_bundle import Bundle, load_bundle
from egomon.config import load_settings
from egomon.fusion.messages.types import AlertData, Data, SegmentData
from egomon.monitor import Monitor, SourceRequest
from egomon.train.simulator import EXECUTION, MISTAKES, WORKFLOW_MISTAKES, simulate

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `tools`, which is not in the package
from tools.make_workbench.scores import auc

KINDS = ("all", "execution", "workflow", *MISTAKES)
SCORES = ("small", "large", "mean", "gate", "duration", "place")
"""The last two are trivial: how long a segment takes, and how many came before it."""
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


def replay(bundle: Bundle, video: Path, large: bool = True) -> Heard:
    heard = Heard()
    settings = load_settings(
        None,
        {
            "bus": {"publish": ("tcp://127.0.0.1:*",), "control": "none"},
            "store": {"path": "none"},
            "decision": {"refine_deadline_seconds": 60.0},
            "model": {"large": large},
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
class Events:
    """Alerts against mistakes, one bundle variant on one set."""

    found: int = 0
    missed: int = 0
    false: int = 0
    seconds: float = 0.0

    def add(self, spans: Sequence[tuple[float, float]], rows: Sequence[dict]) -> None:
        """Count one video's alerts in; a second alert on the same mistake is not false."""
        hit = set()
        for start, end in spans:
            row = best(rows, start, end)
            if row is not None and row["label"]:
                hit.add(row["start"])
            else:
                self.false += 1
        wrong = {row["start"] for row in rows if row["label"]}
        self.found += len(hit & wrong)
        self.missed += len(wrong - hit)

    def figures(self) -> dict[str, float]:
        """F1 and false alarms a minute, with the counts that they come from."""
        return {
            "f1": 2 * self.found / max(1, 2 * self.found + self.missed + self.false),
            "found": self.found,
            "missed": self.missed,
            "false": self.false,
            "false_per_minute": self.false / self.seconds * 60,
        }


VARIANTS = ("gate", "gate, large branch missing", "an alert on every segment")


@dataclass
class Measured:
    """One set of recordings."""

    scores: dict[str, list[float]] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)
    weights: list[tuple[str, float]] = field(default_factory=list)
    events: dict[str, Events] = field(default_factory=dict)
    steps: int = 0
    steps_seen: int = 0
    foreign: int = 0

    def add(self, heard: Heard, rows: Sequence[dict]) -> None:
        """Count one video's segments in."""
        seen = set()
        for place, segment in enumerate(heard.segments):
            span = segment.segment
            row = best(rows, span.media_start, span.media_end)
            kind = kind_of(row)
            seen.add(None if row is None else row["start"])
            found = log_odds(segment)
            found |= {"duration": span.media_end - span.media_start, "place": float(place)}
            for name, value in found.items():
                self.scores.setdefault(name, []).append(value)
            self.kinds.append(kind)
            if segment.scores.gate is not None:
                self.weights.append((kind, segment.scores.gate.large))
            self.foreign += segment.out_of_domain
        self.steps += len(rows)
        self.steps_seen += len(seen - {None})

    def auc_table(self) -> dict[str, dict[str, float]]:
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

    def figures(self) -> dict:
        """Everything, for `--json`."""
        by_kind = {k: [w for kind, w in self.weights if kind == k] for k in ("ok", *MISTAKES)}
        return {
            "steps": self.steps,
            "minutes": next(iter(self.events.values())).seconds / 60,
            "steps_found": self.steps_seen / self.steps,
            "segments": len(self.kinds),
            "called_foreign": self.foreign,
            "counts": {kind: self.kinds.count(kind) for kind in MISTAKES},
            "roc_auc": self.auc_table(),
            "events": {name: events.figures() for name, events in self.events.items()},
            "weight_of_large": {k: float(np.mean(w)) for k, w in by_kind.items() if w},
        }


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
    measured = Measured(events={name: Events() for name in VARIANTS})
    for video in sorted(folder.glob("*.mp4")):
        own = [row for row in rows if row["recording"] == video.name]
        heard = replay(bundle, video)
        alone = heard if bundle.card.large is None else replay(bundle, video, large=False)
        measured.add(heard, own)
        spans = (spans_of(heard.alerts), spans_of(alone.alerts), spans_of(heard.segments))
        for events, found in zip(measured.events.values(), spans, strict=True):
            events.add(found, own)
            events.seconds += duration(video)
    return measured


def spans_of(found: Sequence[SegmentData | AlertData]) -> list[tuple[float, float]]:
    return [(each.segment.media_start, each.segment.media_end) for each in found]


def duration(video: Path) -> float:
    import av

    with av.open(str(video)) as container:
        return float((container.duration or 0) / av.time_base)


def show(title: str, figures: dict) -> None:
    print(f"\n{title}: {figures['steps']} steps, {figures['minutes']:.1f} min")
    table = figures["roc_auc"]
    print("  kind        " + "".join(f"{name:>9}" for name in table))
    for kind in KINDS:
        count = figures["counts"].get(kind)
        cells = "".join(f"{table[name][kind]:9.3f}" for name in table)
        print(f"  {kind:<12}{cells}" + (f"   n={count}" if count else ""))
    print(
        f"  steps found {figures['steps_found']:.3f}; "
        f"{figures['called_foreign']}/{figures['segments']} segments called foreign"
    )
    for name, events in figures["events"].items():
        print(
            f"  events, {name}: F1 {events['f1']:.3f} (found {events['found']}, missed "
            f"{events['missed']}, false {events['false']}), "
            f"{events['false_per_minute']:.3f} false alarms/min"
        )
    for kind, weight in figures["weight_of_large"].items():
        print(f"  weight of the large branch on {kind}: {weight:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", default="workbench")
    parser.add_argument(
        "--minutes", type=float, default=40.0, help="typical footage; the rest half"
    )
    parser.add_argument("--seed", type=int, default=90210)
    parser.add_argument("--real", type=Path, help="folder of real videos: all must be foreign")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args()
    bundle = load_bundle(options.bundle)
    sets = {
        "typical (6 % mistakes, training workflows)": ("seen", 0.06, options.minutes),
        "many mistakes (35 %, training workflows)": ("seen", 0.35, options.minutes / 2),
        "unseen workflows (35 % mistakes)": ("unseen", 0.35, options.minutes / 2),
    }
    result: dict = {"bundle": bundle.model_id, "seed": options.seed, "sets": {}, "real": {}}
    for number, (title, (workflows, rate, minutes)) in enumerate(sets.items()):
        with tempfile.TemporaryDirectory() as folder:
            simulate(Path(folder), options.seed + number, minutes, workflows, mistake_rate=rate)
            result["sets"][title] = measure(bundle, Path(folder)).figures()
    for video in sorted(options.real.iterdir()) if options.real is not None else ():
        if video.suffix in VIDEO_SUFFIXES:
            heard = replay(bundle, video)
            foreign = sum(segment.out_of_domain for segment in heard.segments)
            said = {"segments": len(heard.segments), "foreign": foreign}
            result["real"][video.name] = said | {"alerts": len(heard.alerts)}
    if options.json:
        print(json.dumps(result, indent=1))
        return
    print(bundle.model_id)
    for title, figures in result["sets"].items():
        show(title, figures)
    for name, said in result["real"].items():
        print(f"real video {name}: {said}")


if __name__ == "__main__":
    main()
