"""How unlikely a piece of evidence is on correct work, and what each kind counts for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from egomon.branches.interfaces import Float64
from egomon.branches.taught.step_filter import BREAK_SHARE, BREAKS, Break

Kind = Literal["look", "order", "time", "handling"]
KINDS: tuple[Kind, ...] = ("look", "order", "time", "handling")
NULLS = ("look", "early", *BREAKS, "time", "handling")
"""Samples of evidence on correct segments: of each kind, of looks at the start of a workflow,
where there is little background to compare with, and of each way to break the order: correct work
that was not demonstrated in this order says nothing about repetitions."""
SHARES: dict[Kind, float] = {"look": 0.2, "order": 0.4, "time": 0.05, "handling": 0.35}
"""Share of mistakes that each kind of evidence is taken to tell: fixed, since correct recordings
cannot show it. Durations vary for good reasons, so theirs is small."""
SCALE_FLOORS: dict[Kind, float] = {"look": 0.15, "order": 2.0, "time": 0.5, "handling": 1.0}
"""Least scale of each kind's tail: a few alike segments do not make small changes surprising. Log
odds of e, as the base gives them for the handling, are reached by correct work once in e times
at the rarest; for the order they come from a coarse model, and half of them is believed."""
TAIL_SHARE = 0.2
"""Above this upper share of correct segments an exponential tail goes on from the last ones."""
EXTRAPOLATION = 4.0
"""How far, in nats, the tail may go beyond what the number of correct segments can show."""


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
    values: Mapping[Kind, float],
    breaks: Mapping[Break, float],
    nulls: Mapping[str, Float64],
    *,
    early: bool,
) -> dict[Kind, float]:
    """Nats of each kind of evidence.

    Args:
        values: what was measured.
        breaks: log Bayes factor of each way to break the order.
        nulls: by `NULLS`.
        early: the workflow has hardly begun.
    """

    def of(kind: Kind) -> float:
        if kind == "order":
            return _order_surprise(values[kind], breaks, nulls)
        null = nulls["early" if early and kind == "look" else kind]
        return surprise(values[kind], null, SCALE_FLOORS[kind])

    return {kind: of(kind) for kind in KINDS}


def _order_surprise(
    log_factor: float, breaks: Mapping[Break, float], nulls: Mapping[str, Float64]
) -> float:
    """Mean likelihood ratio of the breaks; without samples the log Bayes factor stands for it."""
    if not all(len(nulls[kind]) for kind in BREAKS):
        return log_factor
    each = [
        math.log(BREAK_SHARE[kind]) + surprise(breaks[kind], nulls[kind], SCALE_FLOORS["order"])
        for kind in BREAKS
    ]
    return float(np.logaddexp.reduce(each)) - math.log(sum(BREAK_SHARE.values()))


MOST_REMEMBERED = 2.0
"""Nats that one kind of evidence on one segment may say about the segments after it: a mistake
that is plain has been told, and is no reason to expect the next one."""
USUAL = 1.0 - math.exp(-MOST_REMEMBERED)
"""Mean of a surprise, cut off there, on correct work: -ln of a tail probability is exponential."""


def telling(nulls: Mapping[str, Float64]) -> list[Kind]:
    """Kinds that can surprise; nothing judges the handling where there is no base for it."""
    return [kind for kind in KINDS if kind == "order" or len(nulls[kind])]


def excess_of(surprises: Mapping[Kind, float], nulls: Mapping[str, Float64]) -> float:
    """Nats beyond those of usual correct work, all kinds that can surprise together."""
    cut = [min(max(surprises[kind], 0.0), MOST_REMEMBERED) for kind in telling(nulls)]
    return sum(cut) - USUAL * len(cut)


def carried(excesses: Sequence[float], order_trust: float) -> float:
    """Nats that earlier segments add to a score: their mean excess, a usual segment counted with.

    Who has worked unlike the demonstrations so far is likelier to be wrong now: on CaptainCook4D
    this lifts the AUC within recipes from .589 to .636. That all was usual so far excuses nothing.
    Where steps are well recognised each segment speaks for itself, and a mistake just told must not
    make the next one: nothing is added (on rendered work it would cost .014).
    """
    return (1.0 - order_trust) * max(0.0, sum(excesses) / (len(excesses) + 1))


LEAST_TRUST = 1e-6


def weigh(surprises: Mapping[Kind, float], order_trust: float) -> dict[Kind, float]:
    """What each kind says for itself: ln(share of mistakes) + nats.

    Args:
        surprises: of each kind.
        order_trust: 0 to 1; steps that are poorly recognised break the order by themselves.
    """
    shares = SHARES | {"order": SHARES["order"] * max(order_trust, LEAST_TRUST)}
    return {kind: float(np.log(shares[kind])) + surprises[kind] for kind in KINDS}


def combine(parts: Mapping[Kind, float]) -> float:
    """Score: ln of the likelihood ratio of a mistake of one kind or another.

    A mistake shows in one kind of evidence or another, not in all: the ratios are averaged over
    the kinds, not multiplied. Correct segments exceed a score s with probability e^-s or so.
    """
    return float(np.logaddexp.reduce(list(parts.values())))
