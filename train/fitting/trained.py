"""Results of the kinds of recipes, and the recordings on which they may be evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from egomon.branches.bundle.card import GateCard, SmallCard
from egomon.branches.bundle.weights import Tensors
from egomon.errors import DataError
from egomon.train.features.feature_set import FeatureSet, check_two_classes
from egomon.train.fitting.record import FitRecord
from egomon.train.metrics.curves import ScoreArray, pr_auc, roc_auc


@dataclass(frozen=True, slots=True, eq=False)
class FittedFusion:
    """The large head and the gate."""

    gate: GateCard
    large_width: int
    tensors: Tensors
    """With the prefixes `large_head.` and `gate.`."""
    held_log_odds: ScoreArray
    """(S,) of the gate on the held segments."""
    held_large: ScoreArray
    """(S,) of the large branch alone."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedModel:
    """Result of a kind of recipe."""

    small: SmallCard
    tensors: Tensors
    """Without the prefix `small.`."""
    held: FeatureSet
    """Segments that the scores below were not fitted on."""
    held_log_odds: ScoreArray
    how_held: str
    """`cv` or `val`: prefix of the metrics in the card."""
    extra: dict[str, float]
    """Further metrics for the card."""
    fused: FittedFusion | None = None
    """None = the small branch alone."""
    fits: tuple[FitRecord, ...] = ()
    """Courses of fits by epochs."""

    def fitted_recordings(self, data: FeatureSet) -> set[str]:
        """Of the recordings given, those that the heads saw: with `cv` the last fit saw all."""
        kept = set() if self.how_held == "cv" else set(self.held.recordings)
        return set(data.recordings) - kept


def spread_of_seeds(found: Sequence[FittedModel]) -> dict[str, float]:
    """Mean and standard deviation of held-out scores over fits that differ in their seed."""
    extra = {f"{found[0].how_held}/seeds": float(len(found))}
    for name, metric in (("roc_auc", roc_auc), ("pr_auc", pr_auc)):
        each = [
            metric(f.held.labels, f.held_log_odds if f.fused is None else f.fused.held_log_odds)
            for f in found
        ]
        extra[f"{found[0].how_held}/{name}_mean_of_seeds"] = float(np.mean(each))
        extra[f"{found[0].how_held}/{name}_sd_of_seeds"] = float(np.std(each))
    return extra


def split_for_validation(data: FeatureSet) -> tuple[FeatureSet, FeatureSet]:
    """Train and validation: by the column `split` where it has both, else every fifth recording.

    Recordings with and without a mistake are counted apart, so that both parts get some.

    Raises:
        DataError: if one of the two would be empty or of one class.
    """
    splits = {row.split for row in data.segments}
    if {"train", "val"} <= splits:
        parts = data.split("train"), data.split("val")
    else:
        names = data.recordings
        wrong = {row.recording for row in data.segments if row.label}
        faulty, clean = ([n for n in names if (n in wrong) == has] for has in (True, False))
        if len(names) < 2 or len(faulty) == 1:
            raise DataError(
                f"{data.where}: {len(names)} recordings, {len(faulty)} of them with a mistake; "
                "training and validation need a recording with a mistake each"
            )
        held = {*faulty[::5], *clean[::5]}
        parts = data.select(set(names) - held), data.select(held)
    for part, what in zip(parts, ("training", "validation"), strict=True):
        check_two_classes(
            part,
            f" of the {what} recordings",
            "; label more recordings, change their split, or leave the column split out",
        )
    return parts
