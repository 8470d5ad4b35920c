"""Scores of hard decisions: precision and recall of both classes, HoloAssist F, macro-F1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]


def harmonic(a: float, b: float) -> float:
    """2ab / (a + b), 0 where both are 0."""
    return 2 * a * b / (a + b) if a + b > 0 else 0.0


def holoassist_f(p_correct: float, r_correct: float, p_mistake: float, r_mistake: float) -> float:
    """Harmonic mean of macro-precision and macro-recall, as HoloAssist's leaderboard reports.

    It can be gamed: one right alert and silence otherwise scores .66. Never select by it.

    >>> round(holoassist_f(0.97, 0.72, 0.11, 0.62), 3)  # UE-MCM
    0.598
    """
    return harmonic((p_correct + p_mistake) / 2, (r_correct + r_mistake) / 2)


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts; positive = mistake."""

    tp: int
    fp: int
    fn: int
    tn: int

    @classmethod
    def of(cls, y: Labels, flagged: NDArray[np.bool_]) -> Confusion:
        """From labels (N,) in {0, 1} and decisions (N,)."""
        wrong = y == 1
        return cls(
            tp=int((wrong & flagged).sum()),
            fp=int((~wrong & flagged).sum()),
            fn=int((wrong & ~flagged).sum()),
            tn=int((~wrong & ~flagged).sum()),
        )

    @property
    def mistake_precision(self) -> float:
        """TP / flagged; 0 where nothing is flagged."""
        return _share(self.tp, self.tp + self.fp)

    @property
    def mistake_recall(self) -> float:
        """TP / mistakes."""
        return _share(self.tp, self.tp + self.fn)

    @property
    def correct_precision(self) -> float:
        """TN / not flagged."""
        return _share(self.tn, self.tn + self.fn)

    @property
    def correct_recall(self) -> float:
        """TN / correct."""
        return _share(self.tn, self.tn + self.fp)

    @property
    def mistake_f1(self) -> float:
        """F1 of the class mistake."""
        return harmonic(self.mistake_precision, self.mistake_recall)

    @property
    def macro_f1(self) -> float:
        """Mean of both classes' F1."""
        return (self.mistake_f1 + harmonic(self.correct_precision, self.correct_recall)) / 2

    @property
    def holoassist_f(self) -> float:
        """See `holoassist_f`."""
        return holoassist_f(
            self.correct_precision, self.correct_recall, self.mistake_precision, self.mistake_recall
        )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
