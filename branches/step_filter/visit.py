"""How long the step that is being done has lasted, and whether that is too long.

A step that takes usual time lasts log-normally beyond the longest recording of it; one that takes
too long lasts any time. What is still going on after `seconds` is therefore too long with
probability P_LONG / (P_LONG + (1 - P_LONG) S(seconds)), S being the share of usual steps that last
longer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from egomon.branches.step_filter.descriptor import WINDOW_SECONDS
from egomon.branches.step_filter.model import StepModel

P_LONG = 0.005
"""Probability that a step takes too long."""
ALLOWED_SECONDS = 4.0
"""Recordings show the ends of a step no more exactly."""
AWAY_SECONDS = 2.5
"""Another step seen for so long is a step; before, it is a moment of this one."""


@dataclass(slots=True)
class StepVisit:
    """The step that the work is in, counted in windows in which something moved."""

    window_seconds: float = WINDOW_SECONDS
    step: int = -1
    seconds: float = 0.0
    away_seconds: float = 0.0
    told: bool = False
    """That it takes too long."""

    def see(self, step: int, *, moving: bool) -> None:
        """Take in a window that shows this step."""
        if step == self.step:
            self.away_seconds = 0.0
            self.seconds += self.window_seconds * moving
            return
        self.away_seconds += self.window_seconds
        if self.step < 0 or self.away_seconds > AWAY_SECONDS:
            self.step, self.seconds = step, self.away_seconds
            self.away_seconds, self.told = 0.0, False

    def p_too_long(self, model: StepModel, log_odds: float = 0.0) -> float:
        """Probability that a usual step would have ended; 0 once it was told.

        Args:
            model: the taught steps.
            log_odds: what was said of such alerts, see `log_odds_of`.
        """
        if self.told or self.step < 0:
            return 0.0
        longest = float(model.durations[1, self.step])
        beyond = math.log((self.seconds + ALLOWED_SECONDS) / (longest + ALLOWED_SECONDS))
        if beyond <= 0.0:
            return 0.0
        lasting = 0.5 * math.erfc(beyond / model.options.spread / math.sqrt(2.0))
        odds = math.exp(log_odds) * P_LONG / (1.0 - P_LONG)
        return odds / (odds + lasting)
