"""Weights of step statistics from recipes of one set that another one does not show.

    python benchmarks/statistics_prior.py STEP_VECTORS_DIR FRAMES_DIR

prints the table `[prior]` of the recipe `captaincook4d-pe-core-b16`. Both are CaptainCook4D, in
whose names of recordings the number of the recipe comes first: no recipe is in both parts, so what
is chosen here is not chosen on what is reported there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from egomon.branches.step_statistics.features import NAMES
from egomon.train.datasets.open import open_data
from egomon.train.fitting.statistics.data import among, prepare
from egomon.train.fitting.statistics.fit import StatisticsPlan, fit_statistics

PLAN = StatisticsPlan(penalties=(0.003,), shares=(0.25,))
"""Of three penalties the strongest; weaker ones gain .01 on recordings of the same recipes."""


def recipe_of(recording: str) -> str:
    """Number of the recipe of a recording."""
    return recording.split("_")[0]


def main() -> None:
    """Print the table."""
    steps, frames = (open_data(Path(folder)).labelled() for folder in sys.argv[1:3])
    shown = {recipe_of(name) for name in frames.recordings}
    others = {name for name in steps.recordings if recipe_of(name) not in shown}
    fitted = fit_statistics(among(prepare(steps), others), PLAN)
    print(f"# {len(others)} recordings of {len({recipe_of(name) for name in others})} recipes")
    print("[prior]")
    for name, both in zip(NAMES, fitted.weight.reshape(2, -1).T, strict=True):
        print(f"{name} = {np.round(both, 3).tolist()}")


if __name__ == "__main__":
    main()
