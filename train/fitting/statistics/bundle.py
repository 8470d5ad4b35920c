"""The recipe kind `evidence`: nested cross-validation, then a fit on all recordings."""

from __future__ import annotations

import logging

import numpy as np

from egomon.branches.bundle.card import SmallCard
from egomon.branches.bundle.weights import Tensors
from egomon.branches.step_statistics.features import STATISTICS
from egomon.errors import DataError
from egomon.train.features.feature_set import FeatureSet
from egomon.train.fitting.recipe import Recipe
from egomon.train.fitting.statistics.data import prepare
from egomon.train.fitting.statistics.fit import (
    FittedStatistics,
    StatisticsPlan,
    by_recording,
    by_workflow,
    cross_validate,
    fit_statistics,
)
from egomon.train.fitting.trained import FittedModel
from egomon.train.metrics.curves import pr_auc, roc_auc

_log = logging.getLogger(__name__)

_FEWEST_RECORDINGS = 4
# With fewer, one that is left out says little of a new one.
_FEWEST_WORKFLOWS = 3


def fit(recipe: Recipe, data: FeatureSet, *, quiet: bool = False) -> FittedModel:
    """Out-of-fold scores calibrate and choose the threshold; the heads see all recordings.

    The figures `cv/` leave out a fifth of the recordings of each workflow, `new_workflow/` all
    recordings of one workflow. Both are nested: nothing is chosen on what is judged.

    Raises:
        ConfigError: a prior of a statistic that there is not.
        DataError: segments without names of step and workflow, or too few recordings.
    """
    if len(data.recordings) < _FEWEST_RECORDINGS:
        raise DataError(
            f"{data.where} has {len(data.recordings)} recordings; this recipe judges each by a fit "
            f"on others and needs {_FEWEST_RECORDINGS} at least: label more, or teach the workflow"
        )
    demos = prepare(data)
    plan = plan_of(recipe)
    y, held = data.labels, []
    for seed in range(recipe.seed, recipe.seed + recipe.cv_seeds):
        held.append(cross_validate(demos, plan, by_recording(demos, seed)))
        if not quiet:
            _log.info("seed %d: out-of-fold ROC-AUC %.3f", seed, roc_auc(y, held[-1]))
    areas = [roc_auc(y, scores) for scores in held]
    precisions = [pr_auc(y, scores) for scores in held]
    # Means over seeds: a single seed's folds may be lucky by .03.
    extra = {
        "cv/seeds": float(recipe.cv_seeds),
        "cv/roc_auc": float(np.mean(areas)),
        "cv/roc_auc_sd_of_seeds": float(np.std(areas)),
        "cv/pr_auc": float(np.mean(precisions)),
        "cv/pr_auc_sd_of_seeds": float(np.std(precisions)),
    }
    if len(demos.workflows) >= _FEWEST_WORKFLOWS:
        unseen = cross_validate(demos, plan, by_workflow(demos))
        extra["new_workflow/roc_auc"] = roc_auc(y, unseen)
        extra["new_workflow/pr_auc"] = pr_auc(y, unseen)
    fitted = fit_statistics(demos, plan)
    return FittedModel(
        small=SmallCard(
            kind="evidence",
            width=STATISTICS,
            steps=demos.steps,
            workflows=demos.workflows,
        ),
        tensors=tensors_of(fitted),
        held=data,
        # One seed's scores, not their mean: what is shipped is one fit, not an ensemble.
        held_log_odds=held[0],
        how_held="cv",
        extra=extra,
    )


def plan_of(recipe: Recipe) -> StatisticsPlan:
    """Return the part of a recipe that a fit chooses from."""
    return StatisticsPlan(recipe.penalties, recipe.shares, recipe.prior, recipe.prior_variance)


def tensors_of(fitted: FittedStatistics) -> Tensors:
    """Return the tensors as `StepStatisticsBranch` loads them."""
    tables = fitted.tables
    arrays = {f"tables.{name}": getattr(tables, name) for name in tables.__slots__}
    arrays |= {
        "evidence.mean": fitted.mean,
        "evidence.scale": fitted.scale,
        "evidence.weight": fitted.weight,
        "psi.weight": fitted.psi_weight,
        "bias": np.array([fitted.bias]),
    }
    return {name: np.asarray(a, np.float32) for name, a in arrays.items()}
