"""Trivial rows of every table: scores without a model."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from egomon.train.features.feature_set import FeatureSet
from egomon.train.metrics.curves import ScoreArray, pr_auc, roc_auc
from egomon.train.metrics.threshold import Confusion, Labels

CLOCK_STEPS = 4
"""The row `clock` flags every segment from the fourth of its recording on; fixed beforehand."""


def trivial_scores(data: FeatureSet) -> dict[str, ScoreArray]:
    """Scores in [0, 1] of each row, flagged from .5 on; `repeat_last` is an oracle.

    always, never, prior (the share of mistakes for each), clock (time in the recording) and
    repeat_last (the previous segment's true label, which no monitor knows).
    """
    y = data.labels
    index, last = np.zeros(len(y)), np.zeros(len(y))
    by_recording: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(data.segments):
        by_recording[row.recording].append(number)
    for numbers in by_recording.values():
        ordered = sorted(numbers, key=lambda k: data.segments[k].start)
        for k, number in enumerate(ordered):
            index[number] = k
            last[number] = y[ordered[k - 1]] if k else 0
    # Half of the clock's scale lies before the fourth segment, so .5 is its threshold.
    clock = index / (index + CLOCK_STEPS - 1)
    return {
        "always": np.ones(len(y)),
        "never": np.zeros(len(y)),
        "prior": np.full(len(y), float(y.mean())),
        "clock": clock,
        "repeat_last (oracle)": last,
    }


def row_of(y: Labels, score: ScoreArray, flagged: NDArray[np.bool_]) -> dict[str, float]:
    """Compute the numbers of one row."""
    confusion = Confusion.of(y, flagged)
    return {
        "roc_auc": roc_auc(y, score),
        "pr_auc": pr_auc(y, score),
        "holoassist_f": confusion.holoassist_f,
        "macro_f1": confusion.macro_f1,
        "mistake_precision": confusion.mistake_precision,
        "mistake_recall": confusion.mistake_recall,
    }
