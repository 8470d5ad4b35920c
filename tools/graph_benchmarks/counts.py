"""Counts of decisions and readers of label files, shared by the graph benchmarks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from egomon.errors import DataError


@dataclass(frozen=True, slots=True)
class Counts:
    """Decisions over steps; a mistake is the positive."""

    tp: int
    fp: int
    fn: int
    tn: int

    def f1(self, positive: bool = True) -> float:
        """F1 of the mistakes, or of the correct steps; 0 where there is nothing to divide."""
        hits = self.tp if positive else self.tn
        return 2 * hits / max(1, 2 * hits + self.fp + self.fn)

    @property
    def average_f1(self) -> float:
        """Mean of the F1 of mistakes and the F1 of correct steps.

        >>> round(100 * Counts(85, 9, 97, 486).average_f1, 1)
        75.9
        """
        return (self.f1(True) + self.f1(False)) / 2

    @property
    def precision(self) -> float:
        """Of the flagged steps, the share that are mistakes."""
        return self.tp / max(1, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Of the mistakes, the share that are flagged."""
        return self.tp / max(1, self.tp + self.fn)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: the file is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path.name} in {path.parent}: {error}") from error
