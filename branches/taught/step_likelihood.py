"""From a look to the likelihood of each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from egomon.branches.interfaces import Float32, Float64


@dataclass(frozen=True, slots=True)
class Reading:
    """How far looks are trusted to name their step."""

    sharpness: float = 20.0
    """Slope from distance to log likelihood."""
    none_distance: float = 1e6
    """A look this far from every step is as likely none of them."""
    slip: float = 0.02
    """Share of segments whose look misleads altogether."""
    beliefs: bool = False
    """Looks are square roots of a trained head's probabilities. Then the square of two looks'
    cosine (their Bhattacharyya coefficient) is itself the likelihood, and what no step accounts
    for is that of none of them; sharpness and none_distance have no part."""

    def by_step(self, distances: Float32, steps: np.ndarray[Any, Any], count: int) -> Float64:
        """Distance to each step (K,), inf for one without exemplars.

        The mean over its two nearest exemplars; of beliefs the median, as one unsure exemplar
        lies near to everything.

        Args:
            distances: (E,) to each exemplar.
            steps: (E,) index of each exemplar's step.
            count: K.
        """
        result = np.full(count, np.inf)
        for k in range(count):
            own = distances[steps == k]
            if len(own):
                result[k] = np.median(own) if self.beliefs else np.sort(own)[:2].mean()
        return result

    def likelihoods(self, by_step: Float64) -> Float64:
        """(K + 1,) likelihood of a segment under each step, the last for none; sums to 1.

        Args:
            by_step: (K,) distances.
        """
        if self.beliefs:
            shares = np.clip(1.0 - by_step, 0.0, 1.0) ** 2
            shares = np.append(shares, max(0.0, 1.0 - float(shares.sum())))
        else:
            z = -self.sharpness * np.append(by_step, self.none_distance)
            shares = np.exp(z - z.max())
        mixed: Float64 = (1 - self.slip) * shares / shares.sum() + self.slip / len(shares)
        return mixed


def half_squares(exemplars: Float32, look: Float32) -> Float32:
    """(E,) half the squared distance to each exemplar: 1 - cosine where both have length 1."""
    lengths = (exemplars**2).sum(axis=1) + float((look**2).sum())
    distances: Float32 = lengths / 2 - exemplars @ look
    return distances
