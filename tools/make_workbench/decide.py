"""Stage 9: calibration for the deployment prior, and thresholds for a false-alarm budget."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from egomon.branches.bundle.card import Calibration
from tools.make_workbench.scores import ScoreArray

PRIOR = 0.06
"""Share of mistakes in use."""
FALSE_ALARMS_PER_MINUTE = 0.08
"""On recorded time; a little under the 0.1 that is promised."""


def calibrate(scores: ScoreArray, wrong: NDArray[np.bool_]) -> Calibration:
    """Platt scaling of log odds, weighted so that mistakes have the deployment prior."""
    x = torch.from_numpy(scores)
    y = torch.from_numpy(wrong.astype(np.float64))
    share = float(wrong.mean())
    weight = torch.where(y > 0, PRIOR / share, (1 - PRIOR) / (1 - share))
    log_slope = torch.zeros((), dtype=torch.float64, requires_grad=True)
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([log_slope, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        logits = x * log_slope.exp() + bias
        loss = F.binary_cross_entropy_with_logits(logits, y, weight=weight)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return Calibration(
        temperature=round(1 / float(log_slope.exp().detach()), 4),
        bias=round(float(bias.detach()), 4),
    )


def threshold(p: ScoreArray, wrong: NDArray[np.bool_], segments_per_minute: float) -> float:
    """Least threshold whose false alarms stay within the budget at the deployment prior."""
    allowed = FALSE_ALARMS_PER_MINUTE / (segments_per_minute * (1 - PRIOR))
    right = np.sort(p[~wrong])[::-1]
    first_allowed = int(np.floor(allowed * len(right)))
    # Halfway to the next score below: the threshold does not sit on a sample.
    above, below = right[max(first_allowed - 1, 0)], right[min(first_allowed, len(right) - 1)]
    return round(float((above + below) / 2 if first_allowed else above * 1.0001), 4)


@dataclass(frozen=True, slots=True)
class Events:
    """Alerts against mistakes."""

    found: int
    missed: int
    false: int
    minutes: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall over events."""
        return 2 * self.found / max(1, 2 * self.found + self.missed + self.false)
