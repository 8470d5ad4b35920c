"""How well do taught workflows detect mistakes? Prints the README's tables.

`python benchmarks/teach.py captaincook4d DIR`: for each recipe, steps, order and looks are learned
from correct recordings (no names, no mistakes; boundaries given) and its faulty recordings are
judged, together with one correct recording that was left out, each in turn: so every recording
faces equally many demonstrations. AUC of any error against none; pixels only, causal.

`python benchmarks/teach.py simulated`: renders workflows that the base has never seen, teaches each
from a few correct videos, nothing else given, and judges other videos of it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from egomon.branches.bundle import Bundle, load_bundle
from egomon.branches.card import StreamCard
from egomon.branches.taught import TaughtBranch
from egomon.branches.taught_reason import explain
from egomon.branches.taught_surprise import KINDS
from egomon.stream.segmenter import Span
from egomon.train.simulator import simulate
from egomon.train.teach import RecordingVectors, teach, teach_from_vectors
from egomon.train.teach.build import replay
from egomon.train.teach.moments import observe
from egomon.train.teach.video import encode_video

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


def judge_captaincook(data: list[Labelled]) -> Rows:
    rows = Rows([], [], [], [], [])
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
                assert len(evidence) == len(item.labels), item.vectors.name
                for e, label in zip(evidence, item.labels, strict=True):
                    rows.recipe.append(recipe)
                    rows.demos.append(len(demos))
                    rows.faulty.append(not item.correct)
                    rows.labels.append(int(label))
                    rows.scores.append([e.score, *(e.surprises[k] for k in KINDS)])
    return rows


def print_captaincook(folder: Path) -> None:
    rows = judge_captaincook(read_captaincook(folder))
    y, group = np.array(rows.labels), np.array(rows.recipe)
    scores, demos = np.array(rows.scores), np.array(rows.demos)
    faulty = np.array(rows.faulty)
    print("CaptainCook4D, one-class from correct recordings, AUC of any error (chance .500)")
    print(f"{'':26}{'demos':>6}{'errors':>8}" + "".join(f"{c:>10}" for c in ("score", *KINDS)))
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


def aucs(y: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return np.array([roc_auc_score(y, s) for s in scores.T])


def cells(values: np.ndarray) -> str:
    return "".join(f"{v:10.3f}" for v in values)


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


# --- rendered workflows -------------------------------------------------------------------

RIGHT_REASONS = {
    "order": ("not been seen", "usually comes"),
    "skip": ("not been seen", "usually comes"),
    "repeat": ("again", "usually comes"),
    "wrongpart": ("not look like any step",),
    "execution": ("not look properly done", "not look like any step", "than usual"),
}
"""What a right reason says, by the segment's tag."""


def print_simulated(base: str, demonstrations: int, minutes: float, seed: int) -> None:
    """Teach each unseen workflow from rendered videos alone and judge others of it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        simulate(folder / "right", seed, 8 * minutes, workflows="unseen", correct_only=True)
        simulate(folder / "test", seed + 1, 4 * minutes, workflows="unseen", mistake_rate=0.25)
        rows: list[tuple[int, float, tuple[str, ...], str]] = []
        hours = 0.0
        for workflow in sorted({p.name.split("-")[0] for p in folder.glob("right/*.mp4")}):
            right = sorted(folder.glob(f"right/{workflow}-*.mp4"))[:demonstrations]
            report = teach(right, folder / f"taught-{workflow}", base=base)
            print(f"{workflow}: {len(right)} recordings, {report.steps} steps", flush=True)
            bundle = load_bundle(folder / f"taught-{workflow}")
            for video in sorted(folder.glob(f"test/{workflow}-*.mp4")):
                seconds, judged = judge_video(bundle, video)
                hours += seconds / 3600
                rows += judged
    y = np.array([r[0] for r in rows])
    odds = np.array([r[1] for r in rows])
    tags = [r[2] for r in rows]
    alerts = odds >= 0
    print(f"{len(y)} segments, {int(y.sum())} mistakes, {hours:.2f} h")
    for name in ("all", "execution", "workflow", *sorted({t[2] for t in tags if len(t) > 2})):
        chosen = np.array([name == "all" or not t[1:] or name in t for t in tags])
        if 0 < y[chosen].sum() < chosen.sum():
            recall = alerts[chosen & (y == 1)].mean()
            auc = roc_auc_score(y[chosen], odds[chosen])
            print(f"{name:12} AUC {auc:.3f}  recall {recall:.2f}  ({int(y[chosen].sum())})")
    told = [r for r, alert in zip(rows, alerts, strict=True) if alert and r[0]]
    right_told = sum(any(words in r[3] for words in words_for(r[2])) for r in told)
    print(f"reason right in {right_told} of {len(told)} true alerts")
    print(
        f"false alerts: {int((alerts & (y == 0)).sum())}, {(alerts & (y == 0)).sum() / hours:.0f}/h"
    )


def judge_video(
    bundle: Bundle, video: Path
) -> tuple[float, list[tuple[int, float, tuple[str, ...], str]]]:
    """Seconds of video; label, log odds, tags and reason of each found segment that is a step."""
    branch, stream = bundle.small, bundle.card.stream
    assert isinstance(branch, TaughtBranch)
    assert bundle.encoder is not None
    vectors = encode_video(video, bundle.encoder, stream.fps)
    seen = observe(vectors, stream, branch.look, bundle.activity)
    truth = [
        row
        for line in (video.parent / "segments.jsonl").read_text().splitlines()
        if (row := json.loads(line))["recording"] == video.name
    ]
    judged = []
    for evidence, moment in zip(
        replay(branch.model, branch.graphs, seen), seen.moments, strict=True
    ):
        start, end = moment.span.t_start, moment.span.t_end
        shared = [min(end, row["end"]) - max(start, row["start"]) for row in truth]
        best = int(np.argmax(shared))
        if shared[best] > 0.5 * (end - start):
            odds = evidence.score - branch.model.options.threshold
            reason = explain(evidence, branch.model, branch.graphs)
            judged.append((truth[best]["label"], odds, tuple(truth[best]["tags"]), reason))
    return seen.seconds, judged


def words_for(tags: tuple[str, ...]) -> tuple[str, ...]:
    """What a right reason says."""
    return RIGHT_REASONS.get(tags[-1], RIGHT_REASONS["execution"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    verbs = parser.add_subparsers(required=True, dest="benchmark")
    captaincook = verbs.add_parser("captaincook4d")
    captaincook.add_argument("folder", type=Path, metavar="DIR")
    simulated = verbs.add_parser("simulated")
    simulated.add_argument("--base", default="workbench")
    simulated.add_argument("--demonstrations", type=int, default=5)
    simulated.add_argument("--minutes", type=float, default=3.0, help="scale of all video")
    simulated.add_argument("--seed", type=int, default=7100)
    options = parser.parse_args()
    if options.benchmark == "captaincook4d":
        print_captaincook(options.folder)
    else:
        print_simulated(options.base, options.demonstrations, options.minutes, options.seed)


if __name__ == "__main__":
    main()
