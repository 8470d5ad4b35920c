"""Scores of a bundle on a feature set: by the small branch, and the large one where possible."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from egomon.branches.bundle.card import DecisionCard, LargeEncoderCard
from egomon.branches.interfaces import BranchScore
from egomon.branches.load_bundle import Bundle
from egomon.errors import DataError
from egomon.fusion.gate import load_gate
from egomon.train.evaluation.scoring import ContextMode, large_vectors, small_scores
from egomon.train.features.feature_set import FeatureSet
from egomon.train.fitting.calibration import probabilities
from egomon.train.metrics.curves import ScoreArray


@dataclass(frozen=True, slots=True, eq=False)
class StageScores:
    """Probabilities and thresholds of every segment."""

    p: ScoreArray
    """(S,) calibrated, as live: of the gate where the large branch is asked, else of the small."""
    threshold: ScoreArray
    """(S,) threshold of the stage that decided."""
    branches: dict[str, tuple[ScoreArray, float]] = field(default_factory=dict)
    """Each branch alone and the gate on every segment: p (S,) and threshold."""

    @property
    def main_threshold(self) -> float:
        """Threshold of the gate if there is one, for plots."""
        return self.branches["fused"][1] if self.branches else float(self.threshold[0])

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """(S,) at or above the threshold."""
        return np.asarray(self.p >= self.threshold)


def score_stages(bundle: Bundle, data: FeatureSet, mode: ContextMode | None = None) -> StageScores:
    """Score every segment, labelled or not.

    A bundle with a large branch uses it where the set holds its vectors; else its small branch
    decides alone, as it does live without a large branch.

    Raises:
        DataError: vectors cannot be read, or are of another large encoder.
    """
    decision = bundle.card.decision
    scores = small_scores(bundle.small, bundle.card.stream, data, mode)
    small = probabilities(np.array([s.log_odds for s in scores]), decision.calibration_small)
    if bundle.card.large is None or data.large is None:
        return StageScores(small, np.full(len(small), decision.threshold_small))
    _check_large(data, bundle.card.large)
    large, fused = (
        probabilities(log_odds, decision.calibration_fused)
        for log_odds in _large_and_fused(bundle, data, scores)
    )
    return decide_by_stage(decision, small, large, fused)


def decide_by_stage(
    decision: DecisionCard, small: ScoreArray, large: ScoreArray, fused: ScoreArray
) -> StageScores:
    """Apply the rule of `Decider`: the gate decides where the small p lies in the flagged band."""
    at_small, at = decision.threshold_small, decision.threshold_fused
    asked = np.array([decision.asks_large(float(p)) for p in small], dtype=np.bool_)
    return StageScores(
        p=np.where(asked, fused, small),
        threshold=np.where(asked, at, at_small),
        branches={"small": (small, at_small), "large": (large, at), "fused": (fused, at)},
    )


def _large_and_fused(
    bundle: Bundle, data: FeatureSet, scores: list[BranchScore]
) -> tuple[ScoreArray, ScoreArray]:
    head, gate = bundle.load_large_head(), load_gate(bundle)
    if head is None or gate is None:
        raise AssertionError("a card with `large` has a head and a gate: the loader checks it")
    vectors = large_vectors(data)
    logits = head.logits(vectors)
    fused = np.empty(len(scores))
    for k, (small, vector, z) in enumerate(zip(scores, vectors, logits, strict=True)):
        both, _ = gate.fuse(small, BranchScore("large", z, vector, 0.0))
        fused[k] = both[1] - both[0]
    return (logits[:, 1] - logits[:, 0]).astype(np.float64), fused


# Fields of a card that differ between machines, or are about a server.
_NOT_OF_THE_VECTORS = ("weights", "probe", "least_cosine")


def _check_large(data: FeatureSet, wanted: LargeEncoderCard) -> None:
    """Refuse vectors of another encoder; the path of its weights may differ between machines."""
    found = data.card.large
    for name in wanted.__struct_fields__:
        if found is None or name in _NOT_OF_THE_VECTORS:
            continue
        want, have = getattr(wanted, name), getattr(found, name)
        if want != have and not (name == "weights_sha256" and None in (want, have)):
            raise DataError(
                f"{data.where}: large vectors were made with {name} = {have!r}, but the bundle "
                f"has {want!r}; run egomon extract --large with this bundle"
            )
