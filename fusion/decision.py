"""Decision on a segment: calibration, thresholds, and which segments the large branch scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from egomon.branches.bundle.card import Calibration, DecisionCard
from egomon.branches.interfaces import BranchScore, Gate
from egomon.branches.segment_scorer import ScoredSegment

Stage = Literal["small", "fused", "expired"]
"""`expired`: the large branch gave no score before the deadline."""


def probability(log_odds: float, calibration: Calibration) -> float:
    """Calibrated probability of a mistake: sigmoid(log_odds / T + b).

    >>> probability(0.0, Calibration())
    0.5
    """
    x = log_odds / calibration.temperature + calibration.bias
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """Decision on one segment, with the scores and the threshold behind it."""

    scored: ScoredSegment
    stage: Stage
    p_mistake: float
    """Calibrated; of the gate if the large branch gave a score, else of the small branch."""
    p_small: float
    threshold: float
    t_off: float
    p_large: float | None = None
    large: BranchScore | None = None
    gate_weights: tuple[float, float] | None = None
    flagged: bool = False
    """True if the segment went to the large branch."""
    why_small: Literal["refine_expired", "breaker_open"] | None = None
    """Why a flagged segment has no score of the large branch."""

    @property
    def is_hit(self) -> bool:
        """At or above its threshold, and on footage that the bundle knows."""
        return self.p_mistake >= self.threshold and not self.scored.out_of_domain


class Decider:
    """Thresholds of a bundle's card; pure."""

    def __init__(self, card: DecisionCard, gate: Gate | None) -> None:
        self._card = card
        self._gate = gate

    @property
    def card(self) -> DecisionCard:
        """The thresholds in use."""
        return self._card

    @card.setter
    def card(self, card: DecisionCard) -> None:
        self._card = card

    def wants_large(self, scored: ScoredSegment) -> bool:
        """True if the small score lies in the band [flag_low, flag_high] of the large branch."""
        if scored.out_of_domain:
            return False
        p = probability(scored.score.log_odds, self._card.calibration_small)
        return self._card.asks_large(p)

    def small(
        self,
        scored: ScoredSegment,
        *,
        flagged: bool = False,
        why: Literal["refine_expired", "breaker_open"] | None = None,
    ) -> Verdict:
        """Decide by the small branch alone, with its own threshold; zeros never replace a score."""
        p = probability(scored.score.log_odds, self._card.calibration_small)
        threshold = self._card.threshold_small
        return Verdict(
            scored=scored,
            stage="expired" if why else "small",
            p_mistake=p,
            p_small=p,
            threshold=threshold,
            t_off=threshold * self._card.off_ratio,
            flagged=flagged,
            why_small=why,
        )

    def fused(self, scored: ScoredSegment, large: BranchScore) -> Verdict:
        """Decide by both branches through the gate (paper, gate equations)."""
        if self._gate is None:
            raise ValueError("a bundle with a large branch needs a gate")
        logits, weights = self._gate.fuse(scored.score, large)
        threshold = self._card.threshold_fused
        return Verdict(
            scored=scored,
            stage="fused",
            p_mistake=probability(float(logits[1] - logits[0]), self._card.calibration_fused),
            p_small=probability(scored.score.log_odds, self._card.calibration_small),
            p_large=probability(large.log_odds, self._card.calibration_fused),
            threshold=threshold,
            t_off=threshold * self._card.off_ratio,
            large=large,
            gate_weights=(float(weights[0]), float(weights[1])),
            flagged=True,
        )


class CallBudget:
    """At most so many large-branch calls a minute of media time (token bucket)."""

    def __init__(self, calls_per_minute: float | None) -> None:
        self._rate = None if calls_per_minute is None else calls_per_minute / 60.0
        self._most = max(1.0, calls_per_minute or 1.0)
        self._tokens = self._most
        self._at = 0.0

    def take(self, t_seconds: float) -> bool:
        """True if a call at this media time is within the budget; counts it."""
        if self._rate is None:
            return True
        self._tokens += max(0.0, t_seconds - self._at) * self._rate
        self._tokens = min(self._most, self._tokens)
        self._at = max(self._at, t_seconds)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
