"""What a head trained with labels says of CaptainCook4D's segments, beside `teach.py`'s rows.

The shipped kind, as `egomon train --recipe captaincook4d-pe-core-b16` makes it, but each recording
is judged by a head that was trained on others: five folds by recording within each recipe. It
learns from correct and faulty recordings of all recipes, with labels and names of steps; `teach`
has correct recordings of one recipe and no name. Both see pixels only, with the same boundaries.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from egomon.train.datasets.open import open_data
from egomon.train.fitting.recipe import load_recipe
from egomon.train.fitting.statistics.bundle import plan_of
from egomon.train.fitting.statistics.data import prepare
from egomon.train.fitting.statistics.fit import by_recording, cross_validate

OutOfFold = dict[str, list[float]]
"""Log odds of each recording's segments, in order of their end, then start."""


def out_of_fold(folder: Path, seed: int) -> OutOfFold:
    """Judge each recording by a head of other ones."""
    data = open_data(folder).labelled()
    demos, plan = prepare(data), plan_of(load_recipe("captaincook4d-pe-core-b16"))
    log_odds = cross_validate(demos, plan, by_recording(demos, seed))
    found: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for row, odds in zip(data.segments, log_odds, strict=True):
        found[row.recording].append((row.end, row.start, float(odds)))
    return {
        name: [of[2] for of in sorted(rows, key=lambda row: row[:2])]
        for name, rows in found.items()
    }
