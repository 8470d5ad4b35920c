"""What each kind of recipe hands back, and which recordings it may be judged on."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from egomon.branches.card import SmallCard
from egomon.errors import DataError
from egomon.train.featureset import FeatureSet, check_two_classes
from egomon.train.metrics.curves import Scores


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What a recipe's kind hands back."""

    small: SmallCard
    tensors: dict[str, Tensor]
    """Without the prefix `small.`."""
    held: FeatureSet
    """Segments that the scores below were not fitted on."""
    held_log_odds: Scores
    how_held: str
    """`cv` or `val`: prefix of the metrics in the card."""
    extra: dict[str, float]
    """Further metrics for the card."""


def split_for_validation(data: FeatureSet) -> tuple[FeatureSet, FeatureSet]:
    """Train and validation: by the column `split` where it has both, else every fifth recording.

    Raises:
        DataError: if one of the two would be empty or of one class.
    """
    splits = {row.split for row in data.segments}
    if {"train", "val"} <= splits:
        parts = data.split("train"), data.split("val")
    else:
        names = data.recordings
        if len(names) < 2:
            raise DataError(f"{data.where} has one recording; validation needs another one")
        held = set(names[::5])
        parts = data.select(set(names) - held), data.select(held)
    for part in parts:
        check_two_classes(part)
    return parts
