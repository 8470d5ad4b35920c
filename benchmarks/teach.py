"""How well do taught workflows detect mistakes? Prints the README's tables.

`python benchmarks/teach.py captaincook4d DIR`: for each recipe, steps, order and looks are learned
from correct recordings (no names, no mistakes; boundaries given) and its faulty recordings are
judged, together with one correct recording that was left out, each in turn: so every recording
faces equally many demonstrations. AUC of any error against none; pixels only, causal. With
`--frames` the filter of steps follows whole recordings; `--frames labels` gives it the steps and
orders of the correct recordings' labels, `--frames found` finds them as `teach` does.

`python benchmarks/teach.py simulated`: renders workflows that the base has never seen, teaches each
from a few correct videos, nothing else given, and judges other videos of it; beside it the base's
own head, and duration and place alone. `--videos DIR` keeps videos and vectors for another run.

`python benchmarks/teach.py handwash DIR`: real recordings, one clip a step; each choice of 3, 2
and 1 of those at one sink is taught, nothing else given, and the others are watched, correct and
with made mistakes. `pieces DIR` does so with a procedure of five pieces of one real video. Rows
without a look at the picture stand beside. Vectors of clips are kept (`--vectors DIR`).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import teach_rendered
import teach_supervised
from platformdirs import user_cache_dir
from sklearn.metrics import roc_auc_score
from teach_parts.frames import print_frames
from teach_parts.real import print_feedback, print_handwash, print_orders, print_pieces
from teach_supervised import OutOfFold

from egomon.branches.bundle.card import StreamCard
from egomon.branches.taught.anomaly_score import Kind
from egomon.stream.segmenter import Span
from egomon.train.teach import RecordingVectors, teach_from_vectors
from egomon.train.teach.one_class.build import replay
from egomon.train.teach.one_class.segment_features import observe

PARTS: tuple[Kind, ...] = ("look", "order", "time")
"""Evidence shown on its own; nothing judges the handling here."""
KEPT = Path(user_cache_dir("egomon")) / "benchmarks"
GIVEN = StreamCard(fps=1.0, policy="given", fine_frames=32, context_frames=32)


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """A recording with its labels."""

    recipe: str
    vectors: RecordingVectors
    labels: np.ndarray
    correct: bool


@dataclass(slots=True)
class Rows:
    """One entry a judged segment."""

    recipe: list[str]
    recording: list[str]
    demos: list[int]
    faulty: list[bool]
    labels: list[int]
    scores: list[list[float]]


def read_captaincook(folder: Path) -> list[Labelled]:
    found = []
    for name, entry in json.loads((folder / "annotations.json").read_text()).items():
        features = np.load(folder / "features" / f"{name}.npz")["features"].astype(np.float32)
        times = np.arange(len(features)) + 0.5
        timed = [s for s in entry["steps"] if s["start_time"] >= 0]
        timed.sort(key=lambda s: (s["end_time"], s["start_time"]))
        spans = tuple(
            Span(min(s["start_time"], len(features) - 1.0), min(s["end_time"], len(features)))
            for s in timed
        )
        vectors = RecordingVectors(name, times, features, spans)
        labels = np.array([int(s["has_errors"]) for s in timed])
        correct = not any(s["has_errors"] for s in entry["steps"])
        found.append(Labelled(entry["activity_name"], vectors, labels, correct))
    return found


def judge_captaincook(data: list[Labelled], supervised: Sequence[OutOfFold] = ()) -> Rows:
    rows = Rows([], [], [], [], [], [])
    by_recipe: dict[str, list[Labelled]] = defaultdict(list)
    for item in data:
        by_recipe[item.recipe].append(item)
    for recipe, items in sorted(by_recipe.items()):
        right = [d for d in items if d.correct]
        wrong = [d for d in items if not d.correct]
        for left_out in right if len(right) > 1 else [None]:
            demos = [d.vectors for d in right if d is not left_out]
            taught = teach_from_vectors(demos, stream=GIVEN, name=recipe)
            for item in wrong + ([left_out] if left_out else []):
                seen = observe(item.vectors, GIVEN, taught.look)
                evidence = replay(taught.model, taught.graphs, seen)
                others = [of[item.vectors.name] for of in supervised]
                for i, (e, label) in enumerate(zip(evidence, item.labels, strict=True)):
                    rows.recipe.append(recipe)
                    rows.recording.append(item.vectors.name)
                    rows.demos.append(len(demos))
                    rows.faulty.append(not item.correct)
                    rows.labels.append(int(label))
                    rows.scores.append(
                        [e.score, *(e.surprises[k] for k in PARTS), *(of[i] for of in others)]
                    )
    return rows


def print_captaincook(folder: Path, seeds: int) -> None:
    supervised = [teach_supervised.out_of_fold(folder, seed) for seed in range(seeds)]
    rows = judge_captaincook(read_captaincook(folder), supervised)
    y, group = np.array(rows.labels), np.array(rows.recipe)
    scores, demos = np.array(rows.scores), np.array(rows.demos)
    faulty = np.array(rows.faulty)
    columns = ("score", *PARTS, *(("supervised",) if seeds else ()))
    print("CaptainCook4D, one-class from correct recordings, AUC of any error (chance .500)")
    print(f"{'':26}{'demos':>6}{'errors':>8}" + "".join(f"{c:>11}" for c in columns))
    each = []
    for recipe in sorted(set(rows.recipe)):
        m = group == recipe
        each.append(aucs(y[m], scores[m]))
        print(f"{recipe:26}{demos[m][0]:6}{y[m].mean():8.2f}" + cells(each[-1]))
    print(f"{'mean of recipes':40}" + cells(np.mean(each, axis=0)))
    print(f"{'all, one scale':40}" + cells(aucs(y, scores)))
    print(f"{'all, within recipe':40}" + cells(within(y, scores, group)))
    many = demos >= 3
    print(f"{'3 demonstrations or more':40}" + cells(within(y[many], scores[many], group[many])))
    print(
        f"{'segments of faulty recordings only':40}"
        + cells(within(y[faulty], scores[faulty], group[faulty]))
    )
    if seeds:
        print(
            "supervised: as `egomon train --recipe captaincook4d`, labels and names of steps of "
            f"all recipes, 5 folds by recording, mean of {seeds} seeds"
        )


def aucs(y: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return np.array([roc_auc_score(y, s) for s in scores.T])


def cells(values: np.ndarray) -> str:
    """The taught's columns, and the mean of the supervised ones."""
    own = 1 + len(PARTS)
    shown = [*values[:own], *([values[own:].mean()] if len(values) > own else [])]
    return "".join(f"{v:11.3f}" for v in shown)


def within(y: np.ndarray, scores: np.ndarray, group: np.ndarray) -> np.ndarray:
    """AUC over pairs of one group."""
    pairs, total = np.zeros(scores.shape[1]), 0
    for g in np.unique(group):
        m = group == g
        n = int(y[m].sum() * (1 - y[m]).sum())
        if n:
            pairs += n * aucs(y[m], scores[m])
            total += n
    return pairs / total


def print_simulated(folder: Path, options: argparse.Namespace) -> None:
    """Teach each unseen workflow from rendered videos alone and judge others of it."""
    teach_rendered.render(folder, options.seed, options.minutes, options.mistake_rate)
    teach_rendered.show(teach_rendered.measure(folder, options.base, options.demonstrations))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    verbs = parser.add_subparsers(required=True, dest="benchmark")
    captaincook = verbs.add_parser("captaincook4d")
    captaincook.add_argument("folder", type=Path, metavar="DIR")
    captaincook.add_argument("--supervised", type=int, default=0, metavar="SEEDS")
    captaincook.add_argument("--frames", choices=("labels", "found"), help="whole recordings")
    simulated = verbs.add_parser("simulated")
    simulated.add_argument("--base", default="workbench")
    simulated.add_argument("--demonstrations", type=int, default=5)
    simulated.add_argument("--minutes", type=float, default=14.0, help="of each half")
    simulated.add_argument("--mistake-rate", type=float, default=0.2)
    simulated.add_argument("--seed", type=int, default=5101)
    simulated.add_argument(
        "--videos", type=Path, metavar="DIR", help="render here, or judge what lies here again"
    )
    handwash, pieces = verbs.add_parser("handwash"), verbs.add_parser("pieces")
    for verb in (handwash, pieces):
        verb.add_argument("folder", type=Path, metavar="DIR")
        verb.add_argument("--base", default="lite0")
        verb.add_argument("--seed", type=int, default=1)
        verb.add_argument("--vectors", type=Path, default=KEPT, metavar="DIR")
    handwash.add_argument("--quick", action="store_true", help="one choice of demonstrations")
    handwash.add_argument(
        "--demonstrations", type=int, nargs="+", default=[3, 2, 1], metavar="N", help="how many"
    )
    handwash.add_argument("--feedback", action="store_true", help="what verdicts change")
    handwash.add_argument("--orders", action="store_true", help="recordings that differ in order")
    options = parser.parse_args()
    if options.benchmark == "handwash":
        folder, base, kept = options.folder, options.base, options.vectors
        many = options.demonstrations
        if options.orders:
            print_orders(folder, base, kept, quick=options.quick, seed=options.seed)
            return
        if options.feedback:
            for number in many:
                print_feedback(folder, base, kept, number, quick=options.quick, seed=options.seed)
            return
        print_handwash(folder, base, kept, many, quick=options.quick, seed=options.seed)
    elif options.benchmark == "pieces":
        print_pieces(options.folder, options.base, options.vectors, seed=options.seed)
    elif options.benchmark == "captaincook4d" and options.frames:
        print_frames(options.folder, labelled=options.frames == "labels")
    elif options.benchmark == "captaincook4d":
        print_captaincook(options.folder, options.supervised)
    elif options.videos:
        print_simulated(options.videos, options)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            print_simulated(Path(scratch), options)


if __name__ == "__main__":
    main()
