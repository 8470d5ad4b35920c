"""Scores over all thresholds: ROC, precision-recall and risk-coverage."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from egomon.errors import DataError
from egomon.train.metrics.threshold import Labels

ScoreArray = NDArray[np.float64]


def check_scores(score: ScoreArray) -> None:
    """Refuse scores that no metric can rank.

    Raises:
        DataError: saying how many are NaN.
    """
    wrong = int(np.isnan(score).sum())
    if wrong:
        raise DataError(
            f"{wrong} of {score.size} scores are NaN, so they cannot be ranked; the training run "
            "diverged or the vectors are damaged"
        )


def roc_curve(y: Labels, score: ScoreArray) -> tuple[ScoreArray, ScoreArray, ScoreArray]:
    """False- and true-positive rate at each distinct score, falling, from (0, 0) to (1, 1).

    Returns:
        (false_positive_rate, true_positive_rate, threshold), the first threshold infinite. A
        class without samples has rate 0 throughout.
    """
    tp, fp, thresholds = _counts(y, score)
    positives, negatives = max(tp[-1], 1), max(fp[-1], 1)
    return (
        np.concatenate([[0.0], fp / negatives]),
        np.concatenate([[0.0], tp / positives]),
        np.concatenate([[np.inf], thresholds]),
    )


def roc_auc(y: Labels, score: ScoreArray) -> float:
    """Area under the ROC curve, ties counted half; NaN where one class is missing.

    >>> roc_auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    check_scores(score)
    if not _two_classes(y):
        return float("nan")
    false_rate, true_rate, _ = roc_curve(y, score)
    return float(np.trapezoid(true_rate, false_rate))


def pr_curve(y: Labels, score: ScoreArray) -> tuple[ScoreArray, ScoreArray, ScoreArray]:
    """Precision and recall at each distinct score, falling: (precision, recall, threshold)."""
    tp, fp, thresholds = _counts(y, score)
    return tp / (tp + fp), tp / max(tp[-1], 1), thresholds


def pr_auc(y: Labels, score: ScoreArray) -> float:
    """Average precision, sum of (R_k - R_k-1) P_k; its baseline is the prior. NaN as `roc_auc`.

    >>> round(pr_auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])), 3)
    0.833
    """
    check_scores(score)
    if not _two_classes(y):
        return float("nan")
    precision, recall, _ = pr_curve(y, score)
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def aurc(y: Labels, probability: ScoreArray) -> float:
    """Area under the risk-coverage curve: mean error among the k most confident, over k.

    Confidence is max(p, 1 - p); the decision is p >= .5. NaN without any score.
    """
    check_scores(probability)
    if len(y) == 0:
        return float("nan")
    order = np.argsort(-np.maximum(probability, 1 - probability), kind="stable")
    wrong = ((probability >= 0.5).astype(int) != y)[order]
    return float((np.cumsum(wrong) / np.arange(1, len(y) + 1)).mean())


def _two_classes(y: Labels) -> bool:
    return len(y) > 0 and bool((y == 1).any()) and bool((y == 0).any())


def _counts(y: Labels, score: ScoreArray) -> tuple[ScoreArray, ScoreArray, ScoreArray]:
    """Cumulative true and false positives at the end of each run of equal scores."""
    check_scores(score)
    order = np.argsort(-score, kind="stable")
    ranked, hit = score[order], (y[order] == 1).astype(np.float64)
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)])
    tp = np.cumsum(hit)[ends]
    return tp, 1.0 + ends - tp, ranked[ends]
