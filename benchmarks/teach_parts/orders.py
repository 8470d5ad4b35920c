"""Rows of `teach.py handwash --orders`: correct recordings that differ in order, or lack a step.

Its last lines count in parts of the work, short ones too, how often an exchange is learned.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from egomon.branches.interfaces import Float32
from egomon.train.features.recording import RecordingVectors
from egomon.train.teach.base import Base
from egomon.train.teach.step_filter.follow import window_seconds_of, windows_of_recording
from egomon.train.teach.step_filter.orders import in_one_order
from egomon.train.teach.step_filter.step_model import choose_count, count_within
from teach_parts.clips import Piece, Run
from teach_parts.made_runs import KINDS, run_of
from teach_parts.watch import Scores, teach_runs

VARIATIONS = {
    "one swaps two steps": ((1,), 1),
    "two swap two steps": ((0, 2), 1),
    "one swaps two pairs": ((2,), 2),
    "one leaves a step out": ((1,), 0),
    "two leave a step out": ((0, 2), 0),
}
"""Which of three recordings vary, and how many steps they exchange with as many; 0 = one is left
out."""
WRONG = 8
"""Runs with a mistake for each choice of recordings, in the usual order."""
PARTS = ((3, 4, 5), (8, 12))
"""Numbers of steps of a part, a line each."""


def varied(steps: Sequence[int], at: int, size: int) -> list[int]:
    """Steps in another order, or without one."""
    if not size:
        return [*steps[:at], *steps[at + 1 :]]
    middle, end = at + size, at + 2 * size
    return [*steps[:at], *steps[middle:end], *steps[at:middle], *steps[end:]]


def in_order(name: str, clips: Mapping[int, Float32], order: Sequence[int], fps: float) -> Run:
    """A correct run."""
    return Run.of(name, [Piece(clips[step], f"step {step}") for step in order], fps)


def wrong_runs(
    name: str, clips: Mapping[int, Float32], foreign: Float32, fps: float, right: list[list[int]]
) -> list[Run]:
    """Runs with a mistake, which is none of the right orders."""
    found: list[Run] = []
    shown = [[f"step {step}" for step in order] for order in right]
    rng = random.Random(f"wrong {name}")
    while len(found) < WRONG:
        kind = KINDS[len(found) % len(KINDS)]
        run = run_of(f"{name}-{kind}-{len(found)}", kind, clips, foreign, fps, rng)
        if [row.text for row in run.rows] not in shown:
            found.append(run)
    return found


def watch_variations(
    base: Base,
    data: Mapping[str, Mapping[int, Float32]],
    foreign: Float32,
    fps: float,
    *,
    quick: bool,
    seed: int,
) -> Iterator[tuple[str, Scores]]:
    """Teach each choice of three recordings of four with each variation; watch the other one.

    Yields:
        For each variation what was said of correct runs, in either way, and of wrong ones.
    """
    for title, (who, size) in VARIATIONS.items():
        correct, wrong = Scores(), Scores()
        for chosen in list(combinations(data, 3))[: 1 if quick else None]:
            (left,) = set(data) - set(chosen)
            rng = random.Random(f"{seed} {title} {left}")
            steps = sorted(data[left])
            other = varied(steps, rng.randrange(1, len(steps) - 2 * max(size, 1)), size)
            orders = [other if i in who else steps for i in range(3)]
            demos = [in_order(n, data[n], o, fps) for n, o in zip(chosen, orders, strict=True)]
            runs = [in_order(left, data[left], order, fps) for order in (steps, other)]
            runs += wrong_runs(left, data[left], foreign, fps, [steps, other])
            _, watched = teach_runs(base, demos, runs)
            correct.watched += watched[:2]
            wrong.watched += watched[2:]
        yield title, correct
        yield "  with a mistake", wrong


def exchanges_learned(
    data: Mapping[str, Mapping[int, Float32]], fps: float, seed: int
) -> Iterator[str]:
    """How many choices of three recordings of a part of the work teach an exchange of steps."""
    for sizes in PARTS:
        shown = {"in one order": ((), [0, 0]), "one": ((1,), [0, 0]), "two": ((0, 2), [0, 0])}
        for size in sizes:
            for chosen in combinations(data, 3):
                steps = sorted(data[chosen[0]])
                for start in range(len(steps) - size + 1):
                    part = steps[start : start + size]
                    rng = random.Random(f"{seed} {chosen} {part}")
                    other = varied(part, rng.randrange(size - 1), 1)
                    for who, counts in shown.values():
                        orders = [other if i in who else part for i in range(3)]
                        runs = [
                            in_order(n, data[n], order, fps).recording()
                            for n, order in zip(chosen, orders, strict=True)
                        ]
                        counts[0] += _learns_exchange(runs)
                        counts[1] += 1
        told = ", ".join(f"{title} {n} of {of}" for title, (_, (n, of)) in shown.items())
        yield f"exchanges learned in parts of {', '.join(map(str, sizes))} steps: {told}"


def _learns_exchange(recordings: Sequence[RecordingVectors]) -> bool:
    seconds = window_seconds_of(recordings)
    runs = [windows_of_recording(recording, seconds) for recording in recordings]
    return bool(in_one_order(runs, min(choose_count(runs), count_within(runs))))
