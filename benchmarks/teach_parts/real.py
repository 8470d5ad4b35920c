"""Rows of `teach.py handwash` and `teach.py pieces`: teaching and watching on real footage."""

from __future__ import annotations

import random
import re
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations, islice
from pathlib import Path

import numpy as np

from egomon.branches.interfaces import Float32
from egomon.branches.taught.corrections import write_corrections
from egomon.train.teach.base import Base, open_base
from teach_parts.clips import Run, clip_vectors
from teach_parts.made_runs import KINDS, LONG, run_of, without_first
from teach_parts.orders import exchanges_learned, watch_variations
from teach_parts.watch import (
    Scores,
    Watched,
    said_of,
    steps_found,
    teach_runs,
    trivial,
    watch_all,
    write_taught,
)

FPS = 4.0
NEW_SCENE = ("009",)
"""Recordings at another sink."""
FOREIGN_SECONDS = 12
LONG_RUNS = 4
"""Of each recording, in which a step takes too long."""
HEADER = (
    f"{'':30}{'runs':>5}{'F1':>7}{'prec.':>7}{'recall':>8}{'false/h':>9}{'silent':>9}"
    f"{'reasons':>9}{'delay s':>9}"
)


def read_handwash(folder: Path, base: Base, kept: Path) -> dict[str, dict[int, Float32]]:
    """Vectors of each recording's clips by step; files are `<recording>_<step>.mp4`."""
    found: dict[str, dict[int, Float32]] = defaultdict(dict)
    for video in sorted(folder.glob("*.mp4")):
        if match := re.fullmatch(r"(\d+)_(\d+)", video.stem):
            found[match[1]][int(match[2])] = clip_vectors(video, base, FPS, kept, None)
    if not found:
        raise SystemExit(f"{folder} holds no clips <recording>_<step>.mp4")
    return dict(found)


def test_runs(
    name: str, clips: dict[int, Float32], foreign: Float32, each: int, seed: int
) -> list[Run]:
    """One correct run and `each` of every kind."""
    rng = random.Random(f"{seed} {name}")
    kinds = ["correct", *(kind for kind in KINDS for _ in range(each))]
    return [
        run_of(f"{name}-{kind}-{n}", kind, clips, foreign, FPS, rng) for n, kind in enumerate(kinds)
    ]


def print_handwash(
    folder: Path,
    base_name: str,
    kept: Path,
    numbers: Sequence[int],
    *,
    quick: bool,
    seed: int,
) -> None:
    """All choices of demonstrations at one sink; the other recordings are watched."""
    base = open_base(base_name)
    data = read_handwash(folder, base, kept)
    foreign_video = folder.parent / "video" / "cooking.mp4"
    foreign = clip_vectors(foreign_video, base, FPS, kept, int(FOREIGN_SECONDS * FPS))
    same = [name for name in data if name not in NEW_SCENE]
    right = {n: run_of(n, "correct", c, foreign, FPS, random.Random(0)) for n, c in data.items()}
    tests = {n: test_runs(n, c, foreign, 2, seed) for n, c in data.items()}
    cycles = {
        n: [
            run_of(f"{n}-{k}", "correct", data[n], foreign, FPS, random.Random(0), cycles=k)
            for k in (2, 3)
        ]
        for n in same
    }
    begun_late = {n: [without_first(f"{n}-{k}", data[n], FPS, k) for k in (1, 2)] for n in same}
    long = {
        name: [
            run_of(f"{name}-{LONG}-{n}", LONG, data[name], foreign, FPS, rng)
            for n in range(LONG_RUNS)
        ]
        for name in same
        for rng in [random.Random(f"{seed} {name} {LONG}")]
    }
    print(HEADER)
    for many in numbers:
        rows: dict[str, Scores] = defaultdict(Scores)
        for chosen in list(combinations(same, many))[: 1 if quick else None]:
            others = [n for n in same if n not in chosen]
            demos = [right[n] for n in chosen]
            runs = [run for n in others for run in tests[n]]
            more = [run for n in others for run in cycles[n]]
            slow = [run for n in others for run in long[n]]
            late = [run for n in others for run in begun_late[n]]
            strange = [run for n in NEW_SCENE if n in data for run in tests[n]] * (
                many == numbers[0]
            )
            report, watched = teach_runs(base, demos, [*runs, *more, *late, *slow, *strange])
            own = Scores(watched[: len(runs)])
            print_row(f"  {' '.join(chosen)}: {report.steps} steps", own)
            rows[f"{many} demonstrations"].watched += own.watched
            rest = iter(watched[len(runs) :])
            rows["  two, three cycles"].watched += islice(rest, len(more))
            rows["  no first steps in the second"].watched += islice(rest, len(late))
            rows["  a step too long"].watched += islice(rest, len(slow))
            if strange:
                rows["  another sink"].watched += rest
            if many == numbers[0]:
                for name, beside in trivial(demos, runs).items():
                    rows[f"  {name}"].watched += beside
        for name, scores in rows.items():
            print_row(name, scores)


def print_feedback(
    folder: Path, base_name: str, kept: Path, many: int, *, quick: bool, seed: int
) -> None:
    """What a bundle finds before and after it was told what it got wrong in other runs."""
    base = open_base(base_name)
    data = read_handwash(folder, base, kept)
    foreign_video = folder.parent / "video" / "cooking.mp4"
    foreign = clip_vectors(foreign_video, base, FPS, kept, int(FOREIGN_SECONDS * FPS))
    same = [name for name in data if name not in NEW_SCENE]
    before, after = Scores(), Scores()
    print(HEADER)
    for chosen in list(combinations(same, many))[: 2 if quick else None]:
        demos = [run_of(n, "correct", data[n], foreign, FPS, random.Random(0)) for n in chosen]
        others = [n for n in same if n not in chosen]
        first = [run for n in others for run in test_runs(n, data[n], foreign, 2, seed)]
        second = [run for n in others for run in test_runs(n, data[n], foreign, 2, seed + 1)]
        with tempfile.TemporaryDirectory() as scratch:
            bundle = Path(scratch) / "taught"
            write_taught(base, demos, bundle)
            said = said_of(watch_all(bundle, first))
            own = [Scores(watch_all(bundle, second))]
            write_corrections(bundle, said)
            own.append(Scores(watch_all(bundle, second)))
        print(f"  {' '.join(chosen)}: {len(said)} words")
        for name, scores, total in zip(("before", "after"), own, (before, after), strict=True):
            print_row(f"    {name}", scores)
            total.watched += scores.watched
    print_row(f"{many} demonstrations, before", before)
    print_row(f"{many} demonstrations, after", after)


def print_orders(folder: Path, base_name: str, kept: Path, *, quick: bool, seed: int) -> None:
    """What three recordings teach of which some show another order, or lack a step."""
    base = open_base(base_name)
    data = read_handwash(folder, base, kept)
    foreign_video = folder.parent / "video" / "cooking.mp4"
    foreign = clip_vectors(foreign_video, base, FPS, kept, int(FOREIGN_SECONDS * FPS))
    same = {name: clips for name, clips in data.items() if name not in NEW_SCENE}
    print(HEADER)
    for title, scores in watch_variations(base, same, foreign, FPS, quick=quick, seed=seed):
        print_row(title, scores)
    if not quick:
        print(*exchanges_learned(same, FPS, seed), sep="\n")


def print_row(name: str, scores: Scores) -> None:
    """One line."""
    events, (silent, correct), (right, told) = scores.events, scores.silent, scores.reasons
    delay = events.delay_seconds_median
    print(
        f"{name:30}{len(scores.watched):5}{events.f1:7.2f}{events.precision:7.2f}"
        f"{events.recall:8.2f}{events.false_alarms_per_hour:9.1f}{f'{silent}/{correct}':>9}"
        f"{f'{right}/{told}':>9}{'-' if delay is None else f'{delay:.1f}':>9}"
        + recalls(events.by_tag)
        + foreign_of(scores.watched),
        flush=True,
    )


def recalls(by_tag: dict[str, float]) -> str:
    """Recall of each kind of mistake."""
    return "".join(f"  {tag} {value:.2f}" for tag, value in by_tag.items())


def foreign_of(watched: list[Watched]) -> str:
    """How much the guard took for another kind of footage, where it took any."""
    share = float(np.mean([w.foreign_share for w in watched])) if watched else 0.0
    return f"  foreign {share:.0%}" if share >= 0.005 else ""


PIECES = 5
PHASES = 3
"""A video is encoded at so many times the rate; demonstrations and tests see different phases."""
DEMONSTRATIONS, CORRECT_TESTS = 5, 5


def print_pieces(folder: Path, base_name: str, kept: Path, *, seed: int) -> None:
    """A procedure of five pieces of one video, in one place."""
    base = open_base(base_name)
    print(HEADER)
    for name, other in (("cooking", "bike_repair"), ("bike_repair", "cooking")):
        vectors = clip_vectors(folder / f"{name}.mp4", base, FPS * PHASES, kept, None)
        strange = clip_vectors(folder / f"{other}.mp4", base, FPS * PHASES, kept, None)
        foreign = strange[: int(6 * FPS) * PHASES : PHASES]
        rng = random.Random(f"{seed} {name}")
        demos = [
            run_of(f"{name}-{n}", "correct", cut(vectors, (0,), rng), foreign, FPS, rng)
            for n in range(DEMONSTRATIONS)
        ]
        kinds = ["correct"] * CORRECT_TESTS + [kind for kind in KINDS for _ in range(2)]
        runs = [
            run_of(f"{name}-{kind}-{n}", kind, cut(vectors, (1, 2), rng), foreign, FPS, rng)
            for n, kind in enumerate(kinds)
        ]
        report, watched = teach_runs(base, demos, runs)
        scores = Scores(watched)
        found = steps_found([w for w in watched if w.run.correct])
        print_row(name, scores)
        print(
            f"  {report.steps} steps learned, {found} of {PIECES} found; "
            f"{scores.early} alerts in the first step"
        )
        for trivial_name, beside in trivial(demos, runs).items():
            print_row(f"  {trivial_name}", Scores(beside))


def cut(vectors: Float32, phases: tuple[int, ...], rng: random.Random) -> dict[int, Float32]:
    """Each piece from its own frames, begun and ended at random, a little faster or slower."""
    slot = len(vectors) // PIECES
    found = {}
    for number in range(PIECES):
        first = number * slot + rng.randrange(slot // 8)
        last = (number + 1) * slot - rng.randrange(slot // 8)
        pace = rng.uniform(0.85, 1.2) * PHASES
        wanted = np.arange(first, last - PHASES, pace)
        phase = rng.choice(phases)
        rows = (wanted // PHASES).astype(int) * PHASES + phase
        found[number + 1] = vectors[np.minimum(rows, len(vectors) - 1)]
    return found
