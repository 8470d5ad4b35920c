"""The learned workflow graph on CaptainCook4D's labels: order errors, with a perfect recogniser."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from egomon.branches.taught.workflow_graph import WorkflowGraph
from egomon.errors import DataError
from tools.graph_benchmarks.counts import Counts, read_json

ORDER_TAG = "Order Error"

Needs = Mapping[str, frozenset[str]]
"""Step to the steps that must come before it; a step that is no key was never demonstrated."""


@dataclass(frozen=True, slots=True)
class LabelledRecording:
    """One recording's steps, by start."""

    name: str
    recipe: str
    steps: tuple[str, ...]
    order_error: tuple[bool, ...]
    omitted: frozenset[str]
    correct: bool
    """No step of it has an error."""
    seconds: float
    """First start to last end."""


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """Result of one rule."""

    order: Counts
    """Against the tag, over timed steps of erroneous recordings."""
    missing_found: int
    """Omitted steps that some flag names."""
    missing_other: int
    """Steps that a flag names and that were not omitted (they came later)."""
    omitted: int
    false_flags: int
    """Flags in correct recordings ..."""
    hours: float
    """... of this length."""


def step_key(text: str) -> str:
    """Join key of a description: letters and digits only.

    >>> step_key("Add-1/2 tsp salt")
    'add12tspsalt'
    """
    return re.sub(r"[^a-z0-9]", "", text.lower())


def read_recordings(folder: Path) -> list[LabelledRecording]:
    """All recordings of `annotations.json`.

    Raises:
        DataError: not the expected format.
    """
    path = folder / "annotations.json"
    try:
        return [_recording(name, entry) for name, entry in read_json(path).items()]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path.name}: not in the expected format ({error!r})") from error


def _recording(name: str, entry: Mapping[str, Any]) -> LabelledRecording:
    rows = sorted(entry["steps"], key=lambda s: s["start_time"])
    timed = [s for s in rows if s["start_time"] >= 0]
    return LabelledRecording(
        name=name,
        recipe=entry["activity_name"],
        steps=tuple(step_key(s["description"]) for s in timed),
        order_error=tuple(any(e["tag"] == ORDER_TAG for e in s["errors"]) for s in timed),
        omitted=frozenset(step_key(s["description"]) for s in rows if s["start_time"] < 0),
        correct=not any(s["has_errors"] for s in rows),
        seconds=timed[-1]["end_time"] - timed[0]["start_time"] if timed else 0.0,
    )


def given_needs(folder: Path, recipe: str, *, ancestors: bool) -> Needs:
    """Preconditions from the task graph that comes with the data set."""
    path = folder / "task_graphs" / f"{recipe.lower().replace(' ', '')}.json"
    graph = read_json(path)
    text = {int(i): step_key(t) for i, t in graph["steps"].items()}
    parents: dict[int, set[int]] = defaultdict(set)
    for a, b in graph["edges"]:
        if text[a] != "start":
            parents[b].add(a)

    def reach(node: int) -> set[int]:
        found, todo = set[int](), list(parents[node])
        while todo:
            if (a := todo.pop()) not in found:
                found.add(a)
                todo += parents[a] if ancestors else ()
        return found

    needs: dict[str, frozenset[str]] = {}
    for node, key in text.items():
        # One recipe has a step twice: the union of both, but never itself.
        before = frozenset(text[a] for a in reach(node)) - {key}
        needs[key] = needs.get(key, frozenset()) | before
    return needs


def learned_needs(demonstrations: Sequence[LabelledRecording], tolerance: float) -> Needs:
    """Preconditions by the count rule."""
    graph = WorkflowGraph.learn([r.steps for r in demonstrations], tolerance=tolerance)
    return {step.id: frozenset(step.after) for step in graph.steps}


def flags(recording: LabelledRecording, needs: Needs) -> tuple[list[bool], set[str]]:
    """Flag by step, and all steps that a flag names as missing."""
    seen: set[str] = set()
    flagged, named = [], set[str]()
    for step in recording.steps:
        missing = needs.get(step, frozenset()) - seen
        flagged.append(bool(missing) or step not in needs)
        named |= missing
        seen.add(step)
    return flagged, named


def captaincook4d(folder: Path) -> dict[str, LabelledRow]:
    """All rows: the given task graphs, and the count rule learned from correct recordings."""
    recordings = read_recordings(folder)
    correct: dict[str, list[LabelledRecording]] = defaultdict(list)
    for recording in recordings:
        if recording.correct:
            correct[recording.recipe].append(recording)

    def given(ancestors: bool) -> dict[str, Needs | None]:
        return {r.name: given_needs(folder, r.recipe, ancestors=ancestors) for r in recordings}

    def learned(tolerance: float) -> dict[str, Needs | None]:
        others = {r.name: [o for o in correct[r.recipe] if o is not r] for r in recordings}
        return {name: learned_needs(o, tolerance) if o else None for name, o in others.items()}

    return {
        "given graph, direct": _row(recordings, given(False)),
        "given graph, ancestors": _row(recordings, given(True)),
        "count rule, tau 0.9": _row(recordings, learned(0.9)),
        "count rule, tau 0.6": _row(recordings, learned(0.6)),
        "flag all": _row(recordings, {r.name: {} for r in recordings}),
    }


def _row(
    recordings: Sequence[LabelledRecording], needs_of: Mapping[str, Needs | None]
) -> LabelledRow:
    tp = fp = fn = tn = found = other = omitted = false_flags = 0
    seconds = 0.0
    for recording in recordings:
        needs = needs_of[recording.name]
        if needs is None:  # the recipe's only correct recording: nothing to judge it by
            continue
        flagged, named = flags(recording, needs)
        if recording.correct:
            false_flags += sum(flagged)
            seconds += recording.seconds
            continue
        for flag, mistake in zip(flagged, recording.order_error, strict=True):
            tp += flag and mistake
            fp += flag and not mistake
            fn += mistake and not flag
            tn += not mistake and not flag
        found += len(named & recording.omitted)
        other += len(named - recording.omitted)
        omitted += len(recording.omitted)
    return LabelledRow(Counts(tp, fp, fn, tn), found, other, omitted, false_flags, seconds / 3600)


def captaincook4d_table(rows: Mapping[str, LabelledRow]) -> str:
    """The rows as text."""
    lines = [
        "CaptainCook4D, true steps, target: tag 'Order Error' in erroneous recordings",
        f"{'':24}{'P':>6}{'R':>7}{'F1':>7}{'missing named':>15}{'other':>7}"
        f"{'false flags':>13}{'hours':>7}{'per hour':>10}",
    ]
    for name, row in rows.items():
        c = row.order
        lines.append(
            f"{name:24}{c.precision:6.3f}{c.recall:7.3f}{c.f1():7.3f}"
            f"{f'{row.missing_found}/{row.omitted}':>15}{row.missing_other:7}"
            f"{row.false_flags:13}{row.hours:7.2f}{row.false_flags / row.hours:10.1f}"
        )
    return "\n".join(lines)
