"""Which loss terms, and is context worth anything? The ablation on HoloAssist's labels.

`python benchmarks/holoassist.py DIR [--seeds 3] [--json]`: the recipe `holoassist` trained with
plain CE, with the AUC term, with the logit-adjusted term and with all three re-weighted, and the
last again without context (no V^c, and vectors that tell nothing of earlier actions); on the inner
split by recording (every fifth video is held out).
Oracle perception (true verb, noun and times): no figure here is a video result.

`--nested` reports recordings of people that nothing was chosen on, instead: five folds by the first
part of a recording's name, of the other four a sixth of the people chooses the epoch.

`--time N` trains the recipe once on N segments instead and reports seconds and peak memory.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sklearn.linear_model import LogisticRegression

from egomon.train.datasets.holoassist import present, read_holoassist
from egomon.train.features.feature_set import FeatureSet
from egomon.train.fitting.calibration import recall_at_budget
from egomon.train.fitting.fit import train
from egomon.train.fitting.heads.batches import Views, make_views, pool
from egomon.train.fitting.heads.fit_heads import score_views
from egomon.train.fitting.heads.uemcm import card_of, fit_model, targets_of
from egomon.train.fitting.recipe import Recipe, load_recipe
from egomon.train.fitting.trained import split_for_validation
from egomon.train.metrics.curves import ScoreArray, pr_auc, roc_auc

SETTINGS: dict[str, dict[str, Any]] = {
    "CE": {"lambdas": (1.0, 0.0, 0.0), "beta": 0.0},
    "CE + AUC": {"lambdas": (1.0, 1.0, 0.0), "beta": 0.0},
    "CE + LA": {"lambdas": (1.0, 0.0, 1.0), "beta": 0.0},
    "re-weighted CE + AUC + LA": {"lambdas": (1.0, 1.0, 1.0), "beta": 1.0},
    "the same, no context": {"lambdas": (1.0, 1.0, 1.0), "beta": 1.0, "context": False},
    "CE, no context": {"lambdas": (1.0, 0.0, 0.0), "beta": 0.0, "context": False},
}
FOLDS = 5
FOLD_ORDER = (0, 2, 3, 4, 1)
"""The recipe's length of the context was chosen on the last."""
BUDGET = 6.0
"""False alarms an hour at which recall is given."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """The inner split, gathered once for all trainings."""

    fitting: FeatureSet
    held: FeatureSet
    views: Views
    held_views: Views
    hours: float


def gather(folder: Path, recipe: Recipe) -> Track:
    data = read_holoassist(folder)
    fitting, held = split_for_validation(data)
    views, held_views = (make_views(each, recipe.stream) for each in (fitting, held))
    if recipe.header == "meanP":
        views, held_views = pool(views), pool(held_views)
    return Track(fitting, held, views, held_views, held.stream_hours())


def forgetful(views: Views, present: int) -> Views:
    """The same without the part of each vector that tells of earlier actions."""
    vectors = views.vectors.copy()
    vectors[:, present:] = 0
    return replace(views, vectors=vectors)


def figures(track: Track, scores: ScoreArray) -> dict[str, float]:
    """Of log odds."""
    y = track.held.labels
    p = 1 / (1 + np.exp(-np.clip(scores, -60, 60)))
    recall = recall_at_budget(p, y, track.hours, BUDGET)
    return {"roc_auc": roc_auc(y, scores), "pr_auc": pr_auc(y, scores), "recall": recall}


def additive(track: Track, *, history: bool) -> ScoreArray:
    """Floor: logistic regression on the action's own vector, with or without its past."""

    def rows(views: Views) -> Any:
        found = views.vectors[views.fine[:, 0]].astype(np.float32)
        if not history:
            found = found[:, : present(track.fitting.card.encoder)]
        # A row's length counts what it remembers, so without the past it must not show.
        return found / np.linalg.norm(found, axis=1, keepdims=True) * found.shape[1] ** 0.5

    model = LogisticRegression(C=0.3, max_iter=200).fit(rows(track.views), track.fitting.labels)
    scores: ScoreArray = model.decision_function(rows(track.held_views))
    return scores


def ablation(track: Track, recipe: Recipe, seeds: int) -> Iterator[dict[str, Any]]:
    """One row a setting: mean and standard deviation over seeds."""
    both = track.views, track.held_views
    now = present(track.fitting.card.encoder)
    without = forgetful(both[0], now), forgetful(both[1], now)
    for name, changes in SETTINGS.items():
        views, held_views = both if changes.get("context", True) else without
        found = []
        for seed in range(recipe.seed, recipe.seed + seeds):
            one = msgspec.structs.replace(recipe, seed=seed, members=1, **changes)
            card = card_of(one, track.fitting)
            targets = targets_of(card, track.fitting)
            _, said, _ = fit_model(
                one, card, views, targets, held_views, track.held.labels, quiet=True
            )
            found.append(figures(track, said.fused))
        yield {
            "setting": name,
            "seeds": seeds,
            **{k: round(float(np.mean([f[k] for f in found])), 4) for k in found[0]},
            **{f"{k}_sd": round(float(np.std([f[k] for f in found])), 4) for k in found[0]},
        }


def nested(folder: Path, recipe: Recipe, folds: int) -> Iterator[dict[str, Any]]:
    """One row a setting: mean and standard deviation over folds of new people."""
    data = read_holoassist(folder)
    people = [row.recording.partition("-")[0] for row in data.segments]
    outer = np.array([_drawn(name) % FOLDS for name in people])
    inner = np.array([_drawn(f"choose {name}") % 6 == 0 for name in people])
    views = pool(make_views(data, recipe.stream))
    now = present(data.card.encoder)
    found: dict[str, list[dict[str, float]]] = {}
    for fold in FOLD_ORDER[:folds]:
        parts = (outer != fold) & ~inner, (outer != fold) & inner, outer == fold
        fitting, chosen, held = (_segments(data, views, part) for part in parts)
        hours = held[0].stream_hours()
        track = Track(fitting[0], held[0], fitting[1], held[1], hours)
        scores = {f"logistic, {k}": additive(track, history=k == "past") for k in ("now", "past")}
        for name, context in (("the recipe", True), ("the same, no context", False)):
            one = msgspec.structs.replace(recipe, members=1, context=context)
            card = card_of(one, fitting[0])
            given = [each[1] if context else forgetful(each[1], now) for each in (fitting, chosen)]
            targets = targets_of(card, fitting[0])
            model, _, _ = fit_model(
                one, card, given[0], targets, given[1], chosen[0].labels, quiet=True
            )
            last = held[1] if context else forgetful(held[1], now)
            scores[name] = score_views(model, last).fused
        for name, said in scores.items():
            found.setdefault(name, []).append(figures(track, said))
    for name, each in found.items():
        yield {
            "setting": name,
            "folds": folds,
            **{k: round(float(np.mean([f[k] for f in each])), 4) for k in each[0]},
            **{f"{k}_sd": round(float(np.std([f[k] for f in each])), 4) for k in each[0]},
        }


def _drawn(name: str) -> int:
    return int(hashlib.sha1(name.encode()).hexdigest(), 16)


def _segments(data: FeatureSet, views: Views, part: Any) -> tuple[FeatureSet, Views]:
    numbers = np.flatnonzero(part)
    rows = tuple(data.segments[k] for k in numbers)
    taken = Views(views.vectors, views.coarse[numbers], views.fine[numbers])
    return replace(data, segments=rows), taken


def timed(folder: Path, recipe: Recipe, segments: int) -> dict[str, float]:
    """`egomon train` on about that many segments, from reading to the written bundle."""
    data = read_holoassist(folder)
    names, total = set(), 0
    for name in data.recordings:
        if total < segments:
            names.add(name)
            total += sum(row.recording == name for row in data.segments)
    started, cpu = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory() as out:
        report = train(recipe, data.select(names), Path(out, "bundle"), quiet=True)
    return {
        "segments": total,
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "roc_auc": report.metrics["val/roc_auc"],
        "pr_auc": report.metrics["val/pr_auc"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--nested", type=int, metavar="N", help="report N of five folds of people")
    parser.add_argument("--time", type=int, metavar="N", help="train once on N segments")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    recipe = load_recipe("holoassist")
    if args.epochs:
        recipe = msgspec.structs.replace(recipe, epochs=args.epochs)
    if args.time:
        print(json.dumps(timed(args.folder, recipe, args.time)))
        return
    if args.nested:
        write(list(nested(args.folder, recipe, args.nested)), None, args.json)
        return
    track = gather(args.folder, recipe)
    rows = []
    floors = {"logistic regression, action": False, "logistic regression, action + past": True}
    for name, history in floors.items():
        rows.append(
            {"setting": name, "seeds": 1, **figures(track, additive(track, history=history))}
        )
    for row in ablation(track, recipe, args.seeds):
        rows.append(row)
    write(rows, len(track.held.labels), args.json)


def write(rows: list[dict[str, Any]], n: int | None, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"n": n, "rows": rows}))
        return
    print(
        f"| setting | ROC-AUC | PR-AUC | recall at {BUDGET:g} false alarms/h |\n|---|---|---|---|"
    )
    for row in rows:
        cells = (
            f"{row[k]:.3f} ± {row.get(k + '_sd', 0):.3f}" for k in ("roc_auc", "pr_auc", "recall")
        )
        print(f"| {row['setting']} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
