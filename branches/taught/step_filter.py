"""What is believed to be done so far: a causal filter over workflows and sets of done steps.

A hidden Markov model whose state is the workflow, the set of steps done and the set of steps
whose absence has already shown. Each segment gives a likelihood for every step; the filter weighs
it against what may come next. So one wrong recognition does not become a chain of findings, and
one wrong step is told once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from egomon.branches.interfaces import StepSeen
from egomon.branches.taught.transitions import Rules

Break = Literal["missing", "repeated", "foreign"]
"""How a step can break the workflow."""
BREAKS: tuple[Break, ...] = ("missing", "repeated", "foreign")

BREAK_SHARE: dict[Break, float] = {"missing": 0.02, "repeated": 0.01, "foreign": 0.01}
"""Probability that a step breaks the workflow in this way. The evidence is told as Bayes factors,
so only their ratios matter much."""
LEGAL_SHARE = 1.0 - sum(BREAK_SHARE.values())
STAY = 0.8
"""Fixed windows: probability that the next window shows the same step."""
MOST_STATES = 24
"""States kept for each workflow; the others have next to no weight."""
LEAST_WEIGHT = 1e-6
FLOOR = 1e-9

State = tuple[int, int, int, int]
"""Workflow, mask of steps done, mask of absences already shown, the newest step or -1."""
Belief = dict[State, float]
Breach = tuple[Break, int, int, int]
"""Kind, workflow, step (-1 = none of them), mask of the missing steps."""


@dataclass(slots=True)
class Outcome:
    """How probable each reading of a segment is; weights of one sum."""

    legal: float = 0.0
    breaches: dict[Breach, float] = field(default_factory=lambda: defaultdict(float))
    steps: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    """By step, -1 for none of them."""
    workflows: dict[int, float] = field(default_factory=lambda: defaultdict(float))

    @property
    def log_factor(self) -> float:
        """Natural log of the Bayes factor for a break against legal work."""
        broken = sum(self.breaches.values())
        odds = np.log(broken + FLOOR) - np.log(self.legal + FLOOR)
        return float(odds - np.log((1 - LEGAL_SHARE) / LEGAL_SHARE))

    @property
    def log_factors(self) -> dict[Break, float]:
        """The same for each way to break the workflow alone."""
        legal = np.log(self.legal + FLOOR) - np.log(LEGAL_SHARE)
        return {
            kind: float(np.log(weight + FLOOR) - np.log(BREAK_SHARE[kind]) - legal)
            for kind, weight in self.by_kind().items()
        }

    def by_kind(self) -> dict[Break, float]:
        """Weight of each way to break the workflow."""
        return {
            kind: sum(w for breach, w in self.breaches.items() if breach[0] == kind)
            for kind in BREAKS
        }

    def likeliest(self, kind: Break) -> Breach | None:
        """The heaviest reading of this kind."""
        found = [breach for breach in self.breaches if breach[0] == kind]
        return max(found, key=lambda breach: self.breaches[breach], default=None)


def begin(rules: Sequence[Rules]) -> Belief:
    """Nothing is done; workflows are alike."""
    return {(w, 0, 0, -1): 1.0 / len(rules) for w in range(len(rules))}


def advance(
    rules: Sequence[Rules],
    belief: Belief,
    shares: Sequence[float],
    *,
    by_time: bool,
    workflow_weights: Sequence[float] | None = None,
) -> tuple[Belief, Outcome]:
    """Take in one segment.

    Args:
        rules: of each workflow.
        belief: before the segment.
        shares: (K + 1,) likelihood of the segment under each step, the last "none of them".
        by_time: segments are windows: the same step may go on.
        workflow_weights: weight of each workflow in the outcome, by what the belief does not
            hold; None = alike.
    """
    after: Belief = defaultdict(float)
    outcome = Outcome()
    for state, weight in belief.items():
        scale = 1.0 if workflow_weights is None else workflow_weights[state[0]]
        for target, share, breach, step in _moves(rules, state, shares, by_time):
            after[target] += weight * share
            outcome.steps[step] += weight * share * scale
            outcome.workflows[state[0]] += weight * share * scale
            if breach is None:
                outcome.legal += weight * share * scale
            else:
                outcome.breaches[breach] += weight * share * scale
    _normalise(outcome)
    return _prune(after), outcome


def _moves(
    rules: Sequence[Rules], state: State, shares: Sequence[float], by_time: bool
) -> list[tuple[State, float, Breach | None, int]]:
    """Next states, their probability, how they break the workflow, and the step."""
    w, done, waived, newest = state
    rule = rules[w]
    ready = rule.ready(done, waived)
    staying = by_time and newest >= 0
    found: list[tuple[State, float, Breach | None, int]] = []
    if staying:
        found.append((state, STAY * shares[newest], None, newest))
    go = 1.0 - STAY if staying else 1.0
    loose = [rule.slack ** absent.bit_count() for _, absent in ready.early]
    legal = go * LEGAL_SHARE / max(len(ready.legal) + sum(loose), FLOOR)
    for step in ready.legal:
        found.append(((w, done | 1 << step, waived, step), legal * shares[step], None, step))
    wrong = go * BREAK_SHARE["missing"] / max(len(ready.early), 1)
    for (step, absent), chance in zip(ready.early, loose, strict=True):
        target = (w, done | 1 << step, waived | absent, step)
        if chance:
            loose_target = (w, done | 1 << step, waived, step)
            found.append((loose_target, legal * chance * shares[step], None, step))
        found.append((target, wrong * shares[step], ("missing", w, step, absent), step))
    wrong = go * BREAK_SHARE["repeated"] / max(len(ready.again), 1)
    for step in ready.again:
        if by_time and step == newest:
            continue
        found.append(
            ((w, done, waived, step), wrong * shares[step], ("repeated", w, step, 0), step)
        )
    wrong = go * BREAK_SHARE["foreign"] / (len(ready.foreign) + 1)
    for step in (*ready.foreign, -1):
        found.append(((w, done, waived, step), wrong * shares[step], ("foreign", w, step, 0), step))
    return found


def _normalise(outcome: Outcome) -> None:
    total = max(outcome.legal + sum(outcome.breaches.values()), 1e-300)
    outcome.legal /= total
    for breach in outcome.breaches:
        outcome.breaches[breach] /= total
    for step in outcome.steps:
        outcome.steps[step] /= total


def _prune(belief: Belief) -> Belief:
    """Keep each workflow's heaviest states; their sum is 1."""
    kept: Belief = {}
    for w in {state[0] for state in belief}:
        own = sorted(
            ((s, weight) for s, weight in belief.items() if s[0] == w), key=lambda x: -x[1]
        )
        least = LEAST_WEIGHT * own[0][1]
        kept |= {s: weight for s, weight in own[:MOST_STATES] if weight >= least}
    total = max(sum(kept.values()), 1e-300)
    return {s: max(weight / total, 1e-300) for s, weight in kept.items()}


class History:
    """The belief after the steps seen so far; remembers the last answer, which mostly goes on."""

    def __init__(self, rules: Sequence[Rules], ids: Sequence[str], *, by_time: bool) -> None:
        self.rules = tuple(rules)
        self._ids = tuple(ids)
        self._by_time = by_time
        self._seen: tuple[StepSeen, ...] = ()
        self._belief = begin(self.rules)

    def after(self, seen: Sequence[StepSeen]) -> Belief:
        """What is believed once all of `seen` has happened; the same for the same steps."""
        known = len(self._seen)
        if known > len(seen) or any(a is not b for a, b in zip(self._seen, seen, strict=False)):
            known, self._belief = 0, begin(self.rules)
        for item in seen[known:]:
            shares = item.step.shares or self._plain_shares(item)
            self._belief, _ = advance(self.rules, self._belief, shares, by_time=self._by_time)
        self._seen = tuple(seen)
        return self._belief

    def _plain_shares(self, item: StepSeen) -> tuple[float, ...]:
        rest = (1.0 - item.step.confidence) / len(self._ids)
        known = (item.step.confidence if id_ == item.step.id else rest for id_ in self._ids)
        return (*known, rest)
