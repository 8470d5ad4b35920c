"""Correct and faulty runs of a procedure from one clip for each of its steps."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from egomon.branches.interfaces import Float32
from teach_parts.clips import Piece, Run

KINDS = ("omit", "swap", "repeat", "skip2", "foreign")
FOREIGN = "foreign"
LONG = "long"
LONG_TIMES = 3
"""A step that takes too long takes so many times as long; odd."""


def order_of(kind: str, steps: Sequence[int], rng: random.Random) -> list[tuple[int, str | None]]:
    """(step, tag of the mistake) in order; step -1 is work that does not belong.

    A step that was left out is labelled at the one that comes in its stead, a swap at the first
    of the two. No mistake lies in the first step.
    """
    right: list[tuple[int, str | None]] = [(step, None) for step in steps]
    many = len(steps)
    if kind in ("omit", "skip2"):
        gone = 1 if kind == "omit" else 2
        at = rng.randint(2, many - 1 - gone)
        return [*right[:at], (steps[at + gone], "missing"), *right[at + gone + 1 :]]
    if kind == "swap":
        at = rng.randint(1, many - 3)
        return [*right[:at], (steps[at + 1], "order"), right[at], *right[at + 2 :]]
    if kind == "repeat":
        again = rng.randint(0, many - 4)
        at = rng.randint(again + 2, many - 1)
        return [*right[:at], (steps[again], "repeated"), *right[at:]]
    if kind == FOREIGN:
        at = rng.randint(2, many - 2)
        return [*right[:at], (-1, FOREIGN), *right[at:]]
    return right


def run_of(
    name: str,
    kind: str,
    clips: Mapping[int, Float32],
    foreign: Float32,
    fps: float,
    rng: random.Random,
    *,
    cycles: int = 1,
) -> Run:
    """A run of one kind from the clips of one recording, by step."""
    order = order_of(kind, sorted(clips), rng) * cycles
    if kind == LONG:
        return _too_long(name, clips, fps, rng)
    pieces = [
        Piece(foreign if step < 0 else clips[step], FOREIGN if step < 0 else f"step {step}", tag)
        for step, tag in order
    ]
    return Run.of(name, pieces, fps)


def without_first(name: str, clips: Mapping[int, Float32], fps: float, gone: int) -> Run:
    """Two cycles, the second of which lacks so many of its first steps."""
    whole = [Piece(clip, f"step {step}", None) for step, clip in sorted(clips.items())]
    begun, *rest = whole[gone:]
    return Run.of(name, [*whole, replace(begun, tag="missing"), *rest], fps)


def _too_long(name: str, clips: Mapping[int, Float32], fps: float, rng: random.Random) -> Run:
    """The middle half of one step goes on, backwards and forwards."""
    wrong = rng.choice(sorted(clips))
    pieces = []
    for step, clip in sorted(clips.items()):
        text, quarter = f"step {step}", len(clip) // 4
        if step != wrong:
            pieces.append(Piece(clip, text))
            continue
        middle = clip[quarter : 3 * quarter]
        more = np.concatenate([middle[::-1], middle] * (LONG_TIMES - 1))
        pieces += [
            Piece(clip[: 3 * quarter], text),
            Piece(more, text, LONG),
            Piece(clip[3 * quarter :], text),
        ]
    return Run.of(name, pieces, fps)
