"""Measures of the demonstration model: ranking by kind of mistake, and events in a stream."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from egomon.train.simulator.plan import EXECUTION, WORKFLOW_MISTAKES
from tools.make_workbench.encode_recordings import KINDS

ScoreArray = NDArray[np.float64]
"""(N,) log odds of a mistake."""


def auc(scores: ScoreArray, positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve, ties counted half; NaN where one class is missing."""
    if positive.all() or not positive.any():
        return float("nan")
    values, group = np.unique(scores, return_inverse=True)
    counts = np.bincount(group, minlength=len(values))
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[group]
    n = int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(scores) - n)))


def auc_table(scores: ScoreArray, kinds: NDArray[np.int64]) -> dict[str, float]:
    """AUC over all, by family and by kind; each against all right steps."""
    groups = {"all": KINDS[1:], "execution": EXECUTION, "workflow": WORKFLOW_MISTAKES}
    groups |= {kind: (kind,) for kind in KINDS[1:]}
    table = {}
    for name, members in groups.items():
        numbers = [KINDS.index(member) for member in members]
        kept = (kinds == 0) | np.isin(kinds, numbers)
        table[name] = auc(scores[kept], kinds[kept] > 0)
    return table


def one_line(table: dict[str, float]) -> str:
    """One line."""
    return ", ".join(f"{name} {value:.3f}" for name, value in table.items())
