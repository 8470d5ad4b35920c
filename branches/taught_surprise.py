"""How unlikely a piece of evidence is on correct work, and what each kind counts for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from egomon.branches.base import Float64

Kind = Literal["look", "missing", "repeated", "time", "handling"]
KINDS: tuple[Kind, ...] = ("look", "missing", "repeated", "time", "handling")
NULLS = (*KINDS, "early")
"""Samples of evidence on correct segments: of each kind, and of looks at the start of a workflow,
where there is little background to compare with."""
WEIGHTS: dict[Kind, float] = {
    "look": 1.0,
    "missing": 1.0,
    "repeated": 1.0,
    "time": 0.25,
    "handling": 1.0,
}
"""Fixed: a handful of correct recordings cannot tell what weight mistakes deserve. The two kinds
that rest on the order of steps are scaled by how well steps are recognised, see `ModelOptions`.
Durations vary for good reasons: they count little until they are extreme."""
EXTREME = 4.5
"""Surprise beyond which each kind counts in full, whatever its weight; about 1 in 100."""
SCALE_FLOORS: dict[Kind, float] = {
    "look": 0.05,
    "missing": 0.1,
    "repeated": 0.1,
    "time": 0.3,
    "handling": 0.3,
}
"""Least scale of each kind's tail: a few alike segments do not make small changes surprising."""
TAIL_SHARE = 0.2
"""Above this upper share of correct segments an exponential tail goes on from the last ones."""
EXTRAPOLATION = 3.0
"""How far, in nats, the tail may go beyond what the number of correct segments can show."""
NOTABLE = -float(np.log(TAIL_SHARE))
"""A surprise that at most a fifth of correct segments reach."""


def surprise(value: float, null: Float64, floor: float = 0.02) -> float:
    """-ln of the upper-tail probability of `value` under an ascending sample of correct segments.

    Args:
        value: evidence measured now.
        null: (M,) the same evidence on correct segments, ascending; none = no surprise.
        floor: least scale of the exponential tail.

    >>> null = np.arange(100.0)
    >>> round(surprise(50.0, null), 2), round(surprise(99.0, null), 2)
    (0.68, 3.53)
    """
    many = len(null)
    if many == 0:
        return 0.0
    edge = float(np.quantile(null, 1 - TAIL_SHARE))
    if value <= edge:
        above = many - int(np.searchsorted(null, value, side="left"))
        return float(-np.log((1 + above) / (1 + many)))
    excess = null[null > edge] - edge
    scale = max(float(excess.mean()) if len(excess) else 0.0, floor)
    most = np.log(1 + many) + EXTRAPOLATION
    return float(min(-np.log(TAIL_SHARE) + (value - edge) / scale, most))


def surprises_of(
    values: Mapping[Kind, float], nulls: Mapping[str, Float64], *, early: bool
) -> dict[Kind, float]:
    """Surprise of each kind of evidence; `early`: the workflow has hardly begun."""
    return {
        kind: surprise(
            values[kind],
            nulls["early" if early and kind == "look" else kind],
            SCALE_FLOORS[kind],
        )
        for kind in KINDS
    }


def weigh(
    surprises: Mapping[Kind, float], *, missing_trust: float, repeated_trust: float
) -> dict[Kind, float]:
    """What each kind adds to the score.

    Args:
        surprises: of each kind.
        missing_trust: 0 to 1, how well steps are recognised, see `ModelOptions`.
        repeated_trust: likewise.
    """
    trust = {"missing": missing_trust, "repeated": repeated_trust}
    return {
        kind: trust.get(kind, 1.0)
        * (WEIGHTS[kind] * min(surprises[kind], EXTREME) + max(surprises[kind] - EXTREME, 0.0))
        for kind in KINDS
    }
