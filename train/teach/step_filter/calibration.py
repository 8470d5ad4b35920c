"""What a model will find: each recording, correct and with made mistakes, judged by the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from egomon.branches.interfaces import Float32
from egomon.branches.step_filter.filter import StepFilter
from egomon.branches.step_filter.model import StepModel, StepOptions, StreamSteps
from egomon.branches.taught.transitions import Rules
from egomon.branches.taught.workflow_graph import WorkflowGraph
from egomon.train.metrics.events import EARLY_SECONDS, LATE_SECONDS
from egomon.train.teach.step_filter.alignment import Int
from egomon.train.teach.step_filter.made_mistakes import made_runs
from egomon.train.teach.step_filter.step_model import (
    Windows,
    distances_of,
    fit_model,
    stream_rows,
)

KNOWN_SHARE = 0.95
"""Share of left-out windows that lie within `StepOptions.known`."""
FARTHER = 1.0
"""Times farther that another recording's windows lie than those of the only one, and a margin: they
lie .8 times as far, since its steps are shrunken (`StepOptions.shrunken`)."""
SHARPNESS = {1: 7.0, 2: 4.0}
MOST_SHARPNESS = 2.7
"""Sharpness times `known`, by number of recordings. Three or more have `known` measured by models
of two or more, which lie nearer to the final one."""
AGAIN = {1: 0.1}
"""`StepOptions.again` by number of recordings: one does not show which steps look alike when others
do them, and a step that looks like an earlier one is not yet a mistake."""
UNSEEN = {1: 0.01, 2: 0.01}
"""`StepOptions.unseen` by number of recordings; three show what can be told apart."""
USUAL_BUDGET, USUAL_ODDS = 6.0, 4.0
"""Real recordings, three of them, gave no more false alarms than that at these odds."""
LEAST_BUDGET = 0.01
SURE = 0.95


@dataclass(frozen=True, slots=True)
class LeftOutCounts:
    """Counts over all left-out recordings."""

    options: StepOptions
    made: int = 0
    found: int = 0
    false_alarms: int = 0
    hours: float = 0.0
    agreement: float | None = None
    """Share of left-out windows whose nearest step is the aligned one."""

    @property
    def most_an_hour(self) -> float:
        """Upper 95 % bound of the false alarms an hour."""
        return poisson_upper(self.false_alarms) / self.hours if self.hours else math.inf


def calibrate(
    recordings: Sequence[Windows],
    labels: Sequence[Int],
    model: StepModel,
    graphs: Sequence[WorkflowGraph],
    on_share: Callable[[float], None] = lambda share: None,
    false_alarms_per_hour: float = 6.0,
) -> LeftOutCounts:
    """Scale the options by left-out windows, and count what models of one recording fewer find.

    The budget sets the odds of a mistake that raise an alert. With one recording nothing can be
    counted: its own windows are all that is known.
    """
    count, threshold = len(model.ids), threshold_for(false_alarms_per_hour)
    if len(recordings) < 2:
        return LeftOutCounts(_options(model, 1, _known_alone(model, recordings[0]), threshold))
    others = [
        fit_model(
            [r for j, r in enumerate(recordings) if j != i],
            [of for j, of in enumerate(labels) if j != i],
            count,
        )
        for i in range(len(recordings))
    ]
    distances = [
        distances_of(other, r.windows) for other, r in zip(others, recordings, strict=True)
    ]
    near = np.concatenate([d.min(axis=1) for d in distances])
    known = max(float(np.quantile(near, KNOWN_SHARE)), 1e-6)
    right = [d.argmin(axis=1) == of for d, of in zip(distances, labels, strict=True)]
    agreement = float(np.concatenate(right).mean())
    rules = [Rules.of(graph, model.ids) for graph in graphs]
    many = len(recordings)
    total = LeftOutCounts(_options(model, many, known, threshold), agreement=agreement)
    for i, (other, recording) in enumerate(zip(others, recordings, strict=True)):
        if many == 2:
            alone, of = recordings[1 - i], labels[1 - i]
            other = fit_model([alone], [of], count, alone=True)
            known = _known_alone(other, alone)
        judged = replace(other, options=_options(other, many - 1, known, threshold))
        total = _judge(judged, rules, recording.windows, labels[i], i, total)
        on_share((i + 1) / many)
    return total


def _known_alone(model: StepModel, recording: Windows) -> float:
    near = distances_of(model, recording.windows).min(axis=1)
    return max(FARTHER * float(np.quantile(near, KNOWN_SHARE)), 1e-6)


def threshold_for(false_alarms_per_hour: float) -> float:
    """Posterior probability that raises an alert: half the budget asks for twice the odds.

    >>> [round(threshold_for(budget), 2) for budget in (1, 6, 30)]
    [0.96, 0.8, 0.5]
    """
    odds = USUAL_ODDS * USUAL_BUDGET / max(false_alarms_per_hour, LEAST_BUDGET)
    return max(odds / (1.0 + odds), 0.5)


def _options(model: StepModel, many: int, known: float, threshold: float) -> StepOptions:
    """Of a model of so many recordings."""
    return replace(
        model.options,
        threshold=threshold,
        known=known,
        sharpness=SHARPNESS.get(many, MOST_SHARPNESS) / known,
        again=AGAIN.get(many, 1.0),
        unseen=UNSEEN.get(many, 0.0),
    )


def alerts_of(model: StepModel, rules: Sequence[Rules], windows: Float32) -> list[int]:
    """Numbers of the windows of a run at which an alert is raised."""
    follower, steps, found = StepFilter(model, rules), StreamSteps(model), []
    for i, row in enumerate(stream_rows(model, windows)):
        belief = follower.push(steps.distances(row))
        steps.see(row, belief.steps[:-1])
        if belief.told:
            found.append(i)
    return found


def _judge(
    model: StepModel,
    rules: Sequence[Rules],
    windows: Float32,
    labels: Int,
    seed: int,
    total: LeftOutCounts,
) -> LeftOutCounts:
    """Add one recording: as it is, and with each made mistake."""
    false = len(alerts_of(model, rules, windows))
    made = found = 0
    seconds = model.options.window_seconds
    many = len(windows)

    def free(one: int, other: int) -> bool:
        return not any(rule.need[one] >> other & 1 or rule.need[other] >> one & 1 for rule in rules)

    for run in made_runs(windows, labels, seed, free=free):
        early = run.onset - EARLY_SECONDS / seconds
        late = run.end + LATE_SECONDS / seconds
        alerts = alerts_of(model, rules, run.windows)
        hits = [i for i in alerts if early <= i + 1 <= late]
        made, found = made + 1, found + bool(hits)
        false += len(alerts) - len(hits)
        many += len(run.windows)
    return replace(
        total,
        made=total.made + made,
        found=total.found + found,
        false_alarms=total.false_alarms + false,
        hours=total.hours + many * seconds / 3600,
    )


def poisson_upper(count: int, sure: float = SURE) -> float:
    """Rate that would give so few events with probability 1 - `sure`.

    >>> round(poisson_upper(0), 2), round(poisson_upper(3), 2)
    (3.0, 7.75)
    """
    low, high = float(count), count + 10.0 * math.sqrt(count + 1.0) + 10.0
    for _ in range(60):
        middle = (low + high) / 2
        term = total = math.exp(-middle)
        for k in range(1, count + 1):
            term *= middle / k
            total += term
        low, high = (middle, high) if total > 1 - sure else (low, middle)
    return high
