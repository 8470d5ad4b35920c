"""Rows of `teach.py captaincook4d --frames`: frames of whole recordings through the step filter.

Steps and their orders are those of the labels of a recipe's correct recordings; nothing is given of
the recordings that are judged. No more than three correct recordings are left out in turn, and no
more than four are taught.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from egomon.branches.step_filter.descriptor import windows_of
from egomon.branches.step_filter.filter import StepFilter
from egomon.branches.step_filter.model import StepModel, StreamSteps
from egomon.branches.taught.transitions import Rules
from egomon.branches.taught.workflow_graph import WorkflowGraph
from egomon.train.teach.step_filter.alignment import Int
from egomon.train.teach.step_filter.calibration import (
    AGAIN,
    FARTHER,
    KNOWN_SHARE,
    MOST_SHARPNESS,
    SHARPNESS,
    UNSEEN,
)
from egomon.train.teach.step_filter.durations import durations_of
from egomon.train.teach.step_filter.step_model import (
    Windows,
    choose_count,
    distances_of,
    find_steps,
    fit_model,
    stream_rows,
)

COLUMNS = ("posterior", "surprise", "distance", "apart", "both")
"""Log odds of a mistake; and means over the stream so far: of what a window says against the work
beside what was seen before (nats), of its distance to the nearest step, of how much farther the
steps are that the filter believes in, and of surprise and distance together."""
FRAME_SECONDS = 1.0
LEFT_OUT, DEMONSTRATIONS = 3, 4
MOST_APART = 2.0
SHORT_SECONDS, STRIDE_SECONDS = 4, 2


@dataclass(frozen=True, slots=True)
class LabelledStep:
    """A step of a recording."""

    start: float
    end: float
    id: int
    wrong: bool


@dataclass(frozen=True, slots=True, eq=False)
class Cooked:
    """A recording and its labels."""

    recipe: str
    windows: Windows
    steps: tuple[LabelledStep, ...]

    @property
    def length(self) -> int:
        """Number of its windows."""
        return len(self.windows.windows)

    def labels(self, ids: Sequence[int]) -> Int:
        """(W,) index of the step of each window; between two steps the nearer one's."""
        middle = self.windows.times + FRAME_SECONDS / 2
        shown = [step for step in self.steps if step.id in ids]
        away = [np.maximum(np.maximum(s.start - middle, middle - s.end), 0.0) for s in shown]
        return np.array([ids.index(s.id) for s in shown])[np.argmin(away, axis=0)]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One recording under one choice of demonstrations."""

    item: Cooked
    evidence: np.ndarray
    """(W, 5), see `COLUMNS`."""

    def segments(self) -> list[tuple[int, int, bool]]:
        """Labelled steps as windows from, to, and whether they are wrong."""
        many = self.item.length
        found = []
        for step in self.item.steps:
            first = min(int(step.start), many - 1)
            found.append((first, min(max(int(np.ceil(step.end)), first + 1), many), step.wrong))
        return found

    def pieces(self) -> list[tuple[int, int, bool]]:
        """The same without boundaries: wrong where half of it lies in a wrong step."""
        wrong = np.zeros(self.item.length)
        for step in self.item.steps:
            wrong[int(step.start) : int(np.ceil(step.end))] += step.wrong
        starts = range(0, len(wrong) - SHORT_SECONDS + 1, STRIDE_SECONDS)
        ends = [(a, a + SHORT_SECONDS) for a in starts]
        return [(a, b, bool(np.minimum(wrong[a:b], 1).mean() >= 0.5)) for a, b in ends]


def read_cooked(folder: Path, entries: dict[str, dict]) -> list[Cooked]:
    """All recordings; omitted steps are left out."""
    found = []
    for name, entry in entries.items():
        features = np.load(folder / "features" / f"{name}.npz")["features"].astype(np.float32)
        times = np.arange(len(features)) * FRAME_SECONDS
        rows = windows_of(times, features, FRAME_SECONDS)
        timed = sorted(
            (s for s in entry["steps"] if s["start_time"] >= 0), key=lambda s: s["start_time"]
        )
        steps = tuple(
            LabelledStep(s["start_time"], s["end_time"], s["step_id"], s["has_errors"])
            for s in timed
        )
        found.append(
            Cooked(entry["activity_name"], Windows(name, rows, times, FRAME_SECONDS), steps)
        )
    return found


def taught(demos: Sequence[Cooked], *, labelled: bool) -> tuple[StepModel, WorkflowGraph]:
    """Steps of the labels in the orders that they show, or found by `teach`, in one order."""
    runs, many = [demo.windows for demo in demos], len(demos)
    if labelled:
        ids = _in_usual_order(demos)
        shown = set(np.concatenate([demo.labels(ids) for demo in demos]).tolist())
        ids = [id_ for place, id_ in enumerate(ids) if place in shown]  # one may hide another
        labels = [demo.labels(ids) for demo in demos]
        orders = [[f"step-{ids.index(i) + 1}" for i in _order(demo) if i in ids] for demo in demos]
    else:
        ids = list(range(choose_count(runs)))
        labels = find_steps(runs, len(ids))
        orders = [[f"step-{i + 1}" for i in ids]] * many
    model = fit_model(runs, labels, len(ids), alone=many == 1)
    lasting = durations_of(labels, len(ids), FRAME_SECONDS)
    lasting[lasting == 0] = np.nan  # a step that this recording lacks
    known = _known(runs, labels, model)
    options = replace(
        model.options,
        known=known,
        sharpness=SHARPNESS.get(many, MOST_SHARPNESS) / known,
        again=AGAIN.get(many, 1.0),
        unseen=UNSEEN.get(many, 0.0),
    )
    seconds = np.nanmean(lasting, axis=0)
    spans = np.stack([np.nanmin(lasting, axis=0), np.nanmax(lasting, axis=0)])
    graph = WorkflowGraph.learn(orders, names={i: i for i in model.ids})
    return replace(model, options=options, seconds=seconds, durations=spans), graph


def _order(demo: Cooked) -> list[int]:
    return list(dict.fromkeys(step.id for step in demo.steps))


def _in_usual_order(demos: Sequence[Cooked]) -> list[int]:
    places: dict[int, list[float]] = defaultdict(list)
    for demo in demos:
        for step in demo.steps:
            places[step.id].append(step.start / demo.length)
    return sorted(places, key=lambda i: float(np.mean(places[i])))


def _known(runs: Sequence[Windows], labels: Sequence[Int], model: StepModel) -> float:
    """See `calibrate`; the others' model has the steps that they show."""
    if len(runs) == 1:
        near = distances_of(model, runs[0].windows).min(axis=1)
        return FARTHER * float(np.quantile(near, KNOWN_SHARE))
    rows = []
    for i, run in enumerate(runs):
        others = [j for j in range(len(runs)) if j != i]
        shown = np.unique(np.concatenate([labels[j] for j in others]))
        own = [np.searchsorted(shown, labels[j]) for j in others]
        other = fit_model([runs[j] for j in others], own, len(shown), alone=len(others) == 1)
        rows.append(distances_of(other, run.windows).min(axis=1))
    return float(np.quantile(np.concatenate(rows), KNOWN_SHARE))


def evidence_of(model: StepModel, graph: WorkflowGraph, windows: Windows) -> np.ndarray:
    """(W, 5) by `COLUMNS`, causal."""
    follower, steps = StepFilter(model, [Rules.of(graph, model.ids)]), StreamSteps(model)
    odds, seen = [], []
    for row in stream_rows(model, windows.windows):
        distances = steps.distances(row)
        surprise = -follower.advance(distances)
        belief = follower.belief()
        shares = belief.steps[:-1]
        steps.see(row, shares)
        p = float(np.clip(belief.p_mistake, 1e-9, 1 - 1e-9))
        odds.append(np.log(p / (1 - p)))
        near = float(distances.min())
        apart = (float(shares @ distances) / max(float(shares.sum()), 1e-9) - near) / (
            model.options.known
        )
        near /= model.options.known
        seen.append([surprise, near, min(apart, MOST_APART), surprise + near])
    so_far = np.cumsum(seen, axis=0) / np.arange(1, len(seen) + 1)[:, None]
    return np.column_stack([odds, so_far])


def judge(items: Sequence[Cooked], *, labelled: bool) -> list[Judged]:
    """The faulty recordings of one recipe, and each correct one that is left out."""
    right = [i for i in items if not any(s.wrong for s in i.steps)]
    wrong = [i for i in items if any(s.wrong for s in i.steps)]
    found = []
    for left_out in right[:LEFT_OUT] if len(right) > 1 else [None]:
        demos = [item for item in right if item is not left_out][:DEMONSTRATIONS]
        model, graph = taught(demos, labelled=labelled)
        for item in [*wrong, *([left_out] if left_out else [])]:
            found.append(Judged(item, evidence_of(model, graph, item.windows)))
    return found


def print_frames(folder: Path, *, labelled: bool) -> None:
    entries = json.loads((folder / "annotations.json").read_text())
    by_recipe: dict[str, list[Cooked]] = defaultdict(list)
    for item in read_cooked(folder, entries):
        by_recipe[item.recipe].append(item)
    judged = {
        recipe: judge(items, labelled=labelled) for recipe, items in sorted(by_recipe.items())
    }
    print("CaptainCook4D frames through the step filter, AUC of any error within recipes")
    print(f"{'':40}" + "".join(f"{name:>11}" for name in COLUMNS))
    for name, cut in (
        ("boundaries given", Judged.segments),
        ("none: 4 s every 2 s", Judged.pieces),
    ):
        table = {}
        for recipe, rows in judged.items():
            spans = [(row, span) for row in rows for span in cut(row)]
            y = np.array([wrong for _, (_, _, wrong) in spans])
            values = [row.evidence[a:b].mean(axis=0) for row, (a, b, _) in spans]
            table[recipe] = (y, np.array(values))
            print_row(f"  {recipe}", within([table[recipe]]))
        print_row(name, within(list(table.values())))
        halves = [list(table.values())[k::2] for k in (0, 1)]
        for mine, other in (halves, halves[::-1]):
            best = int(np.argmax(within(mine)))
            print(
                f"  chosen on {len(mine)} recipes: {COLUMNS[best]}, on the other "
                f"{len(other)}: {within(other)[best]:.3f}"
            )


def print_row(name: str, values: np.ndarray) -> None:
    print(f"{name:40}" + "".join(f"{v:11.3f}" for v in values), flush=True)


def within(tables: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """(5,) AUC over pairs of one recipe."""
    pairs = [int(y.sum() * (1 - y).sum()) for y, _ in tables]
    aucs = [[roc_auc_score(y, s) for s in values.T] for y, values in tables]
    return np.average(aucs, axis=0, weights=pairs)
