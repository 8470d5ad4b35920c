"""Work whose frames are made: a direction for each step, a place, and noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from egomon.branches.interfaces import Float32, Float64

DIM = 48
FPS = 4.0
STEPS = "abcde"
SECONDS = 8.0
FOREIGN = "x"


def frames_of(
    work: Sequence[tuple[str, float]] | str, seed: int = 0, place: int = 0
) -> tuple[Float64, Float32]:
    """Times (N,) and vectors (N, DIM) of steps by letter, each with its seconds.

    `x` is work that no demonstration shows; other places look another way throughout.
    """
    fixed = np.random.default_rng(7)
    scene = fixed.random((9, DIM)) * 0.6
    scene[1:] *= 12.0 * (fixed.random((8, DIM)) < 0.3)
    steps = {letter: fixed.random(DIM) for letter in STEPS}
    steps[FOREIGN] = fixed.random(DIM) * np.where(np.arange(DIM) % 2, 3.0, 0.0)
    rng = np.random.default_rng(seed)
    rows = []
    for letter, seconds in [(w, SECONDS) if isinstance(w, str) else w for w in work]:
        own = steps[letter] + 0.08 * rng.standard_normal(DIM)
        noise = 0.15 * rng.standard_normal((round(seconds * FPS), DIM))
        rows.append(np.abs(scene[place] + own + noise))
    vectors = np.concatenate(rows).astype(np.float32)
    return np.arange(len(vectors)) / FPS, vectors
