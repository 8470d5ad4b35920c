"""One causal filter over what has been done, what is being done, and what went wrong.

A hidden Markov model whose states are `Node`s with a few phases each, so that a step's duration
has an Erlang distribution. Mistakes are moves of small probability; an alert is raised once all
readings with an untold mistake outweigh the others, and is told as the likeliest of them. From
then on every reading counts as told: one mistake, one alert.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from egomon.branches.interfaces import Float64
from egomon.branches.step_filter.model import StepModel
from egomon.branches.step_filter.moves import FOREIGN, START, Node, WorkflowMistake, moves
from egomon.branches.step_filter.node_table import Ints, NodeTable
from egomon.branches.step_filter.visit import StepVisit
from egomon.branches.taught.corrections import Correction, log_odds_of
from egomon.branches.taught.transitions import Rules

PHASES = 4
EARLY = 0.1
"""Share of a middle phase's progress that ends the step at once."""
FLOOR = 0.02
"""Share of windows that look like any step."""
FOREIGN_SECONDS = 6.0
BRIEF_SECONDS = 2.5
STRANGE_SLOPE = 0.15
"""Of `known`: distance that multiplies the odds of foreign work by e."""
MOST_STRANGE = 3.0
"""Most that one window says for or against foreign work, nats."""
LEAST_EVIDENCE = 5.0
"""What one window says at most against this work beside another, nats."""
MOST_NODES = 160
LEAST_WEIGHT = 1e-8
MOST_KNOWN = 20_000
"""Nodes and their moves that are remembered; then the memory begins anew."""
MOST_SKIPPED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class StepBelief:
    """What the filter holds true after a window."""

    steps: Float64
    """(K + 1,) probability of each step, the last for foreign work."""
    p_mistake: float
    """Of a mistake that was not told before this window."""
    mistake: WorkflowMistake | None
    """The likeliest one."""
    told: bool
    """It is told now."""
    workflow: int
    began: bool
    """The work has begun anew."""
    lasted_seconds: float
    """That the likeliest step has gone on for."""


class StepFilter:
    """Follows one stream; the caller pushes the distances of each window.

    Args:
        model: the taught steps.
        rules: of each workflow, see `Rules.of`.
        corrections: what was said of alerts; it moves the odds of such mistakes.
        cycles: see `moves`.
    """

    def __init__(
        self,
        model: StepModel,
        rules: Sequence[Rules],
        corrections: Sequence[Correction] = (),
        *,
        cycles: bool = True,
    ) -> None:
        self._cycles = cycles
        self._corrections, self._step_ids = tuple(corrections), model.ids
        self._model, self._options = model, model.options
        self._visit = StepVisit(self._options.window_seconds)
        self._rules = tuple(rules)
        count = len(model.ids)
        seconds = np.append(model.seconds, FOREIGN_SECONDS)
        # The last entry serves FOREIGN (-1); START (-2) is left at once.
        phases_a_second = PHASES * self._options.window_seconds
        self._progress = np.clip(phases_a_second / seconds, 0.02, 0.95)
        self._brief = min(phases_a_second / BRIEF_SECONDS, 0.95)
        self._count = count
        self._beginning = True
        self._log_predicted = 0.0
        self._begin([Node(0, 0, 0, START)], np.eye(PHASES)[-1:])

    def _begin(self, nodes: Sequence[Node], weights: Float64) -> None:
        self._nodes = NodeTable()
        self._active = np.array([self._nodes.id_of(node) for node in nodes])
        self._weights = weights

    def correct(self, corrections: Sequence[Correction]) -> None:
        """Move the odds of mistakes from now on as these say; what is believed so far is kept."""
        self._corrections = tuple(corrections)
        self._moves = [None] * len(self._nodes)

    def push(self, distances: Float64, *, moving: bool = True) -> StepBelief:
        """Take in a window's (K,) distances to the steps.

        Args:
            distances: see `StepModel.distances`.
            moving: it differs from the window before; a pause makes no step longer.
        """
        self.advance(distances)
        return self.belief(moving=moving)

    def advance(self, distances: Float64) -> float:
        """Take in a window; `belief` must follow.

        Returns:
            Log probability of its nearest step by what was seen before, from `-LEAST_EVIDENCE`,
            which foreign work has, to 0.
        """
        self._advance(self._likelihoods(distances))
        steps = self._nodes.of("step", self._active)
        foreign = float(self._weights[steps == FOREIGN].sum())
        known = (1.0 - foreign) * self._log_predicted - LEAST_EVIDENCE * foreign
        return max(known, -LEAST_EVIDENCE)

    def skip(self, seconds: float) -> None:
        """So much time passed unseen: the work may have gone on, and nothing is told of it."""
        for _ in range(int(min(seconds, MOST_SKIPPED_SECONDS) / self._options.window_seconds)):
            self._advance(np.ones(self._count + 1))
        self._visit = StepVisit(self._options.window_seconds)
        self._tell()

    def _likelihoods(self, distances: Float64) -> Float64:
        """(K + 1,) of a window under each step and, last, under foreign work."""
        options = self._options
        z = -options.sharpness * (distances - distances.min())
        shares = np.exp(z)
        shares = (1 - FLOOR) * shares / shares.sum() + FLOOR / self._count
        away = (distances.min() / options.known - options.strange) / STRANGE_SLOPE
        foreign = 1.0 / (1.0 + np.exp(-np.clip(away, -MOST_STRANGE, MOST_STRANGE)))
        found: Float64 = np.append(shares * (1.0 - foreign), foreign / self._count)
        return found

    def _advance(self, likelihoods: Float64) -> None:
        before, active, table = self._weights, self._active, self._nodes
        steps = table.of("step", active)
        go = self._progress[np.maximum(steps, FOREIGN)]
        go = np.where(table.of("brief", active), self._brief, go)
        go = np.where(steps == START, 1.0, go)[:, None]
        weights = before * (1.0 - go)
        weights[:, 1:] += before[:, :-1] * go
        early = before[:, 1:-1] * go * EARLY
        weights[:, 2:] = np.maximum(weights[:, 2:] - early, 0.0)
        leaving = before[:, -1] * go[:, 0] + early.sum(axis=1)
        found = [
            (self._moves_of(int(active[i])), leaving[i])
            for i in np.flatnonzero(leaving > LEAST_WEIGHT)
        ]
        if found:
            targets = np.concatenate([ids for (ids, _), _ in found])
            entering = np.concatenate([shares * weight for (_, shares), weight in found])
            reached, places = np.unique(np.concatenate([active, targets]), return_inverse=True)
            grown = np.zeros((len(reached), PHASES))
            grown[places[: len(active)]] = weights
            grown[:, 0] += _sums(places[len(active) :], entering, len(reached))
            active, weights = reached, grown
        weights = weights * likelihoods[table.of("look", active)][:, None]
        self._keep(active, weights)

    def _keep(self, active: Ints, weights: Float64) -> None:
        """The heaviest nodes; their weights sum to 1. Whatever was seen, `START` is over."""
        total = np.where(self._nodes.of("step", active) == START, 0.0, weights.sum(axis=1))
        order = np.argsort(-total, kind="stable")[:MOST_NODES]
        order = order[total[order] > LEAST_WEIGHT * total[order[0]]]
        self._active = active[order]
        kept = float(total[order].sum())
        self._log_predicted = float(np.log(max(kept, 1e-300)))
        self._weights = weights[order] / kept
        if len(self._nodes) > MOST_KNOWN:
            self._begin([self._nodes.nodes[i] for i in self._active], self._weights)

    def belief(self, *, moving: bool = True, share: float = 1.0) -> StepBelief:
        """What is held true after the window; a mistake is told if it is likely enough.

        Args:
            moving: see `push`.
            share: probability that it is this work at all.
        """
        total, table, active = self._weights.sum(axis=1), self._nodes, self._active
        steps = _sums(table.of("step", active) % (self._count + 1), total, self._count + 1)
        workflows = np.bincount(table.of("workflow", active), total)
        made = table.of("mistake", active)
        mistakes = _sums(made + 1, total, len(table.mistakes) + 1)[1:]
        if (step := int(steps.argmax())) < self._count:
            self._visit.see(step, moving=moving)
        workflow, visit = int(workflows.argmax()), self._visit
        p_long = self._p_too_long(
            float(total[(made < 0) & (table.of("step", active) == visit.step)].sum())
        )
        beginning = float(total[table.of("fresh", active) == 1].sum())
        began = beginning > 0.5 and not self._beginning
        self._beginning = beginning > 0.5
        p = share * min(float(mistakes.sum()) + p_long, 1.0)
        told = p > self._options.threshold
        lasted = visit.seconds
        likeliest = _likeliest(
            [*table.mistakes, WorkflowMistake("long", workflow, visit.step)],
            np.append(mistakes, p_long),
        )
        if told:
            self._tell()
            visit.told = visit.told or p_long > 0.0
        return StepBelief(steps, p, likeliest, told, workflow, began, lasted)

    def _p_too_long(self, usual: float) -> float:
        """Of the step in which the work is, from the probability that it is in it unmistaken."""
        visit = self._visit
        if visit.step < 0:
            return 0.0
        said = log_odds_of(self._corrections, "long", self._step_ids[visit.step])
        return usual * visit.p_too_long(self._model, said)

    def _tell(self) -> None:
        """Every reading goes on without its mistake."""
        nodes = self._nodes.nodes
        new = [self._nodes.id_of(nodes[i]._replace(mistake=None, age=0)) for i in self._active]
        active, places = np.unique(new, return_inverse=True)
        weights = np.zeros((len(active), PHASES))
        np.add.at(weights, places, self._weights)
        self._active, self._weights = active, weights

    def _moves_of(self, i: int) -> tuple[Ints, Float64]:
        known = self._nodes.moves[i]
        if known is None:
            node = self._nodes.nodes[i]
            again, unseen = self._options.again, self._options.unseen
            found = moves(self._rules, node, again, unseen, cycles=self._cycles)
            ids = np.array([self._nodes.id_of(new) for new, _ in found])
            shares = np.array([p for _, p in found])
            if self._corrections:
                shares *= np.exp([self._said_of(new, node) for new, _ in found])
                shares /= shares.sum()
            known = self._nodes.moves[i] = (ids, shares)
        return known

    def _said_of(self, node: Node, before: Node) -> float:
        """Log odds by which a mistake that this move makes was said to be likelier."""
        made = node.mistake
        if made is None or made == before.mistake:
            return 0.0
        return log_odds_of(self._corrections, made.kind, self._step_ids[made.step])


def _sums(of: Ints, weights: Float64, length: int) -> Float64:
    return np.bincount(of, weights, length).astype(np.float64)


def _likeliest(mistakes: Sequence[WorkflowMistake], weights: Float64) -> WorkflowMistake | None:
    """The likeliest mistake of the likeliest kind."""
    held = {m: w for m, w in zip(mistakes, weights.tolist(), strict=True) if w > 0}
    if not held:
        return None
    kinds: dict[str, float] = {}
    for mistake, weight in held.items():
        kinds[mistake.kind] = kinds.get(mistake.kind, 0.0) + weight
    kind = max(kinds, key=lambda k: kinds[k])
    return max((m for m in held if m.kind == kind), key=lambda m: held[m])
