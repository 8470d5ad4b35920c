"""EDA and micro-AUC as EgoPER's evaluation computes them, for comparison with its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from egomon.train.metrics.curves import ScoreArray, check_scores
from egomon.train.metrics.threshold import Labels

EDA_THRESHOLDS = np.linspace(-2.0, 2.0, 41)


@dataclass(frozen=True, slots=True, eq=False)
class ScoredFrames:
    """One recording, frame by frame."""

    score: ScoreArray
    """(N,) higher = more like a mistake."""
    label: Labels
    """(N,) 1 where the frame lies in a mistake."""
    segment: Labels
    """(N,) number of the frame's segment."""


def eda(recordings: Sequence[ScoredFrames], thresholds: ScoreArray = EDA_THRESHOLDS) -> float:
    """Error detection accuracy, averaged over thresholds.

    A mistake counts as found if any of its frames is flagged, a correct segment as right if none
    is. Values depend on the scale of the scores: compare within one scale only.
    """
    peaks, labels = [], []
    for recording in recordings:
        check_scores(recording.score)
        for number in np.unique(recording.segment):
            inside = recording.segment == number
            peaks.append(float(recording.score[inside].max()))
            labels.append(bool(recording.label[inside].max()))
    peak, wrong = np.array(peaks), np.array(labels)
    return float(np.mean([((peak > threshold) == wrong).mean() for threshold in thresholds]))


def micro_auc(recordings: Sequence[ScoredFrames], thresholds: ScoreArray = EDA_THRESHOLDS) -> float:
    """Area over pooled frames at the given thresholds, with EgoPER's own quirks.

    Both rates are sorted separately, (1, 1) is appended and (0, 0) is not.
    """
    score = np.concatenate([r.score for r in recordings])
    check_scores(score)
    label = np.concatenate([r.label for r in recordings])
    wrong, right = score[label == 1], score[label == 0]
    true_rate = np.sort([(wrong > t).mean() if len(wrong) else 0.0 for t in thresholds])
    false_rate = np.sort([(right > t).mean() if len(right) else 0.0 for t in thresholds])
    return float(np.trapezoid(np.append(true_rate, 1.0), np.append(false_rate, 1.0)))
