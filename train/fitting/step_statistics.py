"""Fits the branch with step statistics: counts, then two shrunk linear models, out of fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from egomon.branches.step_statistics.features import collect
from egomon.branches.step_statistics.tables import Array, StepTables
from egomon.errors import MissingExtraError
from egomon.train.fitting.step_statistics_data import Demonstrations, Recorded
from egomon.train.fitting.step_statistics_tables import count, reduce

INNER_FOLDS = 8


@dataclass(frozen=True, slots=True)
class StatisticsPlan:
    """Settings of the recipe."""

    evidence_c: float = 0.3
    """Inverse strength of the L2 penalty on the evidence weights."""
    psi_ridge: float = 1.5
    """Ridge of the linear psi_s."""
    psi_share: float = 0.25
    """Weight of psi_s beside the evidence, both scaled to unit spread."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedStatistics:
    """Tensors that the bundle stores."""

    tables: StepTables
    mean: Array
    scale: Array
    weight: Array
    psi_weight: Array
    bias: float

    def score(self, recording: Recorded) -> Array:
        """Log odds (S,), before calibration."""
        evidence, _ = collect(self.tables, recording.unit, recording.spans)
        scaled = (evidence - self.mean) / self.scale
        return np.asarray(scaled @ self.weight + recording.psi @ self.psi_weight + self.bias)


def fit_evidence(
    demos: Demonstrations, train: Sequence[Recorded], plan: StatisticsPlan, seed: int = 0
) -> FittedStatistics:
    """Fit on some recordings.

    The linear models see statistics that were counted without the recording they describe: counts
    that hold a recording's own steps and labels would look far better than they are.

    Raises:
        MissingExtraError: without scikit-learn.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise MissingExtraError("this recipe", "train") from error
    space = reduce(demos, train)
    psi_mean, psi_scale = _moments(np.concatenate([r.psi for r in train]))
    evidence, y, own_psi = [], [], []
    order = np.random.default_rng(seed).permutation(len(train))
    for k in range(min(INNER_FOLDS, len(train))):
        held = [train[i] for i in order[k::INNER_FOLDS]]
        rest = [r for r in train if all(r is not h for h in held)]
        tables = count(demos, space, rest)
        weight = _ridge(rest, psi_mean, psi_scale, plan.psi_ridge)
        for r in held:
            evidence.append(collect(tables, r.unit, r.spans)[0])
            own_psi.append((r.psi - psi_mean) / psi_scale @ weight)
            y.append(r.y)
    rows, labels = np.concatenate(evidence), np.concatenate(y)
    mean, scale = _moments(rows)
    model = LogisticRegression(C=plan.evidence_c, max_iter=3000).fit((rows - mean) / scale, labels)
    spread = float(model.decision_function((rows - mean) / scale).std())
    psi_spread = float(np.concatenate(own_psi).std())
    psi = _ridge(train, psi_mean, psi_scale, plan.psi_ridge) * plan.psi_share / psi_spread
    psi_weight = psi / psi_scale
    return FittedStatistics(
        tables=count(demos, space, train),
        mean=mean,
        scale=scale,
        weight=model.coef_[0] / spread,
        psi_weight=psi_weight,
        bias=float(model.intercept_[0] / spread - psi_mean @ psi_weight),
    )


def cross_validate(demos: Demonstrations, plan: StatisticsPlan, seed: int, folds: int = 5) -> Array:
    """Out-of-fold log odds (S,) in the feature set's order; folds by recording, per workflow."""
    fold = fold_of(demos, seed, folds)
    out = np.zeros(sum(len(r.y) for r in demos.recordings))
    for k in range(folds):
        train = [r for r in demos.recordings if fold[r.name] != k]
        fitted = fit_evidence(demos, train, plan, seed)
        for r in demos.recordings:
            if fold[r.name] == k:
                out[r.numbers] = fitted.score(r)
    return out


def fold_of(demos: Demonstrations, seed: int, folds: int) -> dict[str, int]:
    """Fold of each recording; every workflow is spread over all folds."""
    generator = np.random.default_rng(seed)
    ordered: list[str] = []
    for workflow in range(len(demos.workflows)):
        names = [r.name for r in demos.recordings if demos.workflow[r.step[0]] == workflow]
        generator.shuffle(names)
        ordered += names
    return {name: place % folds for place, name in enumerate(ordered)}


def _ridge(train: Sequence[Recorded], mean: Array, scale: Array, ridge: float) -> Array:
    """Class-balanced ridge on standardised psi inputs, solved in the dual."""
    z = (np.concatenate([r.psi for r in train]) - mean) / scale
    y = np.concatenate([r.y for r in train])
    share = float(y.mean())
    weight = np.where(y == 1, 0.5 / share, 0.5 / (1 - share))
    gram = z @ z.T / z.shape[1]
    dual = np.linalg.solve(gram + ridge * np.diag(1 / weight), 2.0 * y - 1)
    return np.asarray(z.T @ dual / z.shape[1])


def _moments(rows: Array) -> tuple[Array, Array]:
    return rows.mean(axis=0), rows.std(axis=0) + 1e-6
