"""Fits the step-statistics branch: counts, then shrunk linear models on out-of-fold inputs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from egomon.branches.step_statistics.features import NAMES, collect
from egomon.branches.step_statistics.tables import Array, StepTables
from egomon.errors import ConfigError
from egomon.train.fitting.calibration import fit_calibration
from egomon.train.fitting.statistics.data import Demonstrations, Ints, Recorded, among
from egomon.train.fitting.statistics.tables import RATE_BOUNDS, Space, count, reduce

INNER_FOLDS = 8
PSI_RIDGE = 1.5
"""Of the linear psi_s, for each input."""
_NEWTON_STEPS = 50


@dataclass(frozen=True, slots=True)
class StatisticsPlan:
    """What a recipe may set. A fit chooses among penalties and shares on its own recordings."""

    penalties: tuple[float, ...] = (0.01, 0.03, 0.1)
    """Variances of the weights of standardised statistics around 0."""
    shares: tuple[float, ...] = (0.25, 0.5)
    """Weights of psi_s beside the statistics, both scaled to unit spread."""
    prior: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Weight of each statistic now and over earlier segments, where other data gave one."""
    prior_variance: float = 0.001
    """Of weights around those that other data gave, whatever the penalty."""

    def centre(self) -> Array:
        """Give the prior weights (STATISTICS,).

        Raises:
            ConfigError: a prior for a statistic that there is not.
        """
        for name in self.prior:
            if name not in NAMES:
                raise ConfigError(
                    f"[prior] has a statistic {name!r}, which there is not; take of: "
                    f"{', '.join(NAMES)}"
                )
        both = [self.prior.get(name, (0.0, 0.0)) for name in NAMES]
        return np.array(both).T.ravel()

    def precision(self, penalty: float) -> Array:
        """Give the inverse variances (STATISTICS,) of the weights."""
        own = [1 / (self.prior_variance if name in self.prior else penalty) for name in NAMES]
        return np.array(own + own)


@dataclass(frozen=True, slots=True, eq=False)
class FittedStatistics:
    """Everything that the bundle stores."""

    tables: StepTables
    mean: Array
    scale: Array
    weight: Array
    psi_weight: Array
    bias: float

    def score(self, recording: Recorded) -> Array:
        """Compute log odds (S,), before calibration."""
        scaled = (_statistics(self.tables, recording) - self.mean) / self.scale
        return np.asarray(scaled @ self.weight + recording.psi @ self.psi_weight + self.bias)


@dataclass(frozen=True, slots=True, eq=False)
class _OutOfFold:
    """What tables and psi_s of other recordings say of each training segment."""

    rows: Array
    """(S, STATISTICS)."""
    psi: Array
    """(S,)."""
    y: Ints
    fold: Ints
    """(S,) inner fold of the recording."""


def fit_statistics(demos: Demonstrations, plan: StatisticsPlan, seed: int = 0) -> FittedStatistics:
    """Fit on all recordings given; every choice is made on these alone.

    The linear models see statistics that were counted without the recording they describe: counts
    that hold a recording's own steps and labels would look far better than they are. Penalty and
    share are those with the least log loss out of fold.
    """
    psi_mean, psi_scale = _moments(np.concatenate([r.psi for r in demos.recordings]))
    fit_psi = partial(_psi, mean=psi_mean, scale=psi_scale)
    space = reduce(demos, demos.recordings)
    held = _out_of_fold(demos, space, fit_psi, seed)
    mean, scale = _moments(held.rows)
    rows = (held.rows - mean) / scale
    psi_spread, centre = float(held.psi.std()) + 1e-12, plan.centre()
    said = {c: _cross_score(rows, held, centre, plan.precision(c)) for c in plan.penalties}

    def loss(choice: tuple[float, float]) -> float:
        own = said[choice[0]]
        x = own + choice[1] * own.std() / psi_spread * held.psi
        calibration = fit_calibration(x, held.y)
        odds = x / calibration.temperature + calibration.bias
        return float(np.logaddexp(0, np.where(held.y == 1, -odds, odds)).mean())

    penalty, share = min(itertools.product(plan.penalties, plan.shares), key=loss)
    weight, bias = _logistic(rows, held.y, centre, plan.precision(penalty))
    psi_weight = fit_psi(demos.recordings) * share * float(said[penalty].std()) / psi_spread
    return FittedStatistics(
        tables=count(demos, space, demos.recordings),
        mean=mean,
        scale=scale,
        weight=weight,
        psi_weight=psi_weight,
        bias=bias - float(psi_mean @ psi_weight),
    )


def cross_validate(
    demos: Demonstrations, plan: StatisticsPlan, fold: Mapping[str, int], seed: int = 0
) -> Array:
    """Give out-of-fold log odds (S,) in the feature set's order.

    Nested: each recording is judged by a fit that has not seen its fold, in counts, in weights or
    in any choice.

    Args:
        demos: all recordings.
        plan: what each fit may choose from.
        fold: of each recording.
        seed: of the inner folds.
    """
    out = np.zeros(sum(len(r.y) for r in demos.recordings))
    for k in sorted(set(fold.values())):
        train = among(demos, {name for name, own in fold.items() if own != k})
        fitted = fit_statistics(train, plan, seed)
        for r in demos.recordings:
            if fold[r.name] == k:
                out[r.numbers] = fitted.score(r)
    return out


def by_recording(demos: Demonstrations, seed: int, folds: int = 5) -> dict[str, int]:
    """Give the fold of each recording; every workflow is spread over all folds."""
    generator = np.random.default_rng(seed)
    ordered: list[str] = []
    for names in _of_workflows(demos):
        generator.shuffle(names)
        ordered += names
    return {name: place % folds for place, name in enumerate(ordered)}


def by_workflow(demos: Demonstrations, folds: int = 8) -> dict[str, int]:
    """Give all recordings of a workflow one fold: what is said of work that was never shown."""
    return {name: k % folds for k, names in enumerate(_of_workflows(demos)) for name in names}


def _of_workflows(demos: Demonstrations) -> list[list[str]]:
    return [
        [r.name for r in demos.recordings if demos.workflow[r.step[0]] == workflow]
        for workflow in range(len(demos.workflows))
    ]


def _out_of_fold(
    demos: Demonstrations,
    space: Space,
    fit_psi: Callable[[Sequence[Recorded]], Array],
    seed: int,
) -> _OutOfFold:
    train = demos.recordings
    rows, psi, y, fold = [], [], [], []
    order = np.random.default_rng(seed).permutation(len(train))
    for k in range(min(INNER_FOLDS, len(train))):
        held = [train[i] for i in order[k::INNER_FOLDS]]
        rest = [r for r in train if all(r is not h for h in held)]
        tables, weight = count(demos, space, rest), fit_psi(rest)
        for r in held:
            rows.append(_statistics(tables, r))
            psi.append(r.psi @ weight)
            y.append(r.y)
            fold += [k] * len(r.y)
    return _OutOfFold(np.concatenate(rows), np.concatenate(psi), np.concatenate(y), np.array(fold))


def _statistics(tables: StepTables, r: Recorded) -> Array:
    return collect(tables, r.unit, r.spans, r.seconds)[0]


def _cross_score(rows: Array, held: _OutOfFold, centre: Array, precision: Array) -> Array:
    """Score each inner fold (S,) by a linear model of the others."""
    out = np.zeros(len(rows))
    for k in np.unique(held.fold):
        mine = held.fold == k
        weight, bias = _logistic(rows[~mine], held.y[~mine], centre, precision)
        out[mine] = rows[mine] @ weight + bias
    return out


def _logistic(x: Array, y: Ints, centre: Array, precision: Array) -> tuple[Array, float]:
    """Weights (F,) and bias of a logistic regression that is shrunk towards `centre`."""
    z = np.column_stack([x, np.ones(len(x))])
    prior = np.append(centre, 0.0)
    precision = np.append(precision, 1e-6)
    weight = prior.copy()
    for _ in range(_NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(z @ weight, -60, 60)))
        gradient = z.T @ (p - y) + precision * (weight - prior)
        step = np.linalg.solve((z.T * (p * (1 - p))) @ z + np.diag(precision), gradient)
        weight = weight - step
        if abs(step).max() < 1e-8:
            break
    return weight[:-1], float(weight[-1])


def _psi(train: Sequence[Recorded], mean: Array, scale: Array) -> Array:
    """Weights (3 D,) of a class-balanced ridge on standardised inputs."""
    x = (np.concatenate([r.psi for r in train]) - mean) / scale
    y = np.concatenate([r.y for r in train])
    rate = float(np.clip(y.mean(), *RATE_BOUNDS))
    balance = np.where(y == 1, 0.5 / rate, 0.5 / (1 - rate))
    ridge = PSI_RIDGE * x.shape[1]
    if len(x) < x.shape[1]:  # the smaller of two systems with the same solution
        dual = np.linalg.solve(x @ x.T + ridge * np.diag(1 / balance), 2.0 * y - 1)
        return np.asarray(x.T @ dual / scale)
    weighted = x.T * balance
    primal = np.linalg.solve(weighted @ x + ridge * np.eye(x.shape[1]), weighted @ (2.0 * y - 1))
    return np.asarray(primal / scale)


def _moments(rows: Array) -> tuple[Array, Array]:
    return rows.mean(axis=0), rows.std(axis=0) + 1e-6
