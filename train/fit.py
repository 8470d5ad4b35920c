"""`egomon train`: a recipe and labelled vectors to a bundle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table

from egomon.branches.bundle import save_bundle
from egomon.branches.card import BundleCard, DataCard, DecisionCard
from egomon.branches.find import read_card
from egomon.train.calibrate import budget_threshold, fit_calibration, probability
from egomon.train.datasets.open import open_data
from egomon.train.evaluate import EvaluationReport, report
from egomon.train.featureset import FeatureSet, check_splits, check_two_classes
from egomon.train.recipe import Recipe, load_recipe
from egomon.train.trained import Trained


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What was written, and how good it is on segments it was not fitted on."""

    folder: Path
    evaluation: EvaluationReport
    metrics: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Folder, card metrics and the whole evaluation."""
        return {
            "bundle": str(self.folder),
            "metrics": self.metrics,
            "held_out": self.evaluation.to_json(),
        }

    def table(self) -> Table:
        """The held-out evaluation."""
        table = self.evaluation.table()
        table.title = f"{self.folder}: {table.title}"
        return table


def train(
    recipe: Path | str | Recipe,
    data: Path | FeatureSet,
    out: Path,
    *,
    seed: int | None = None,
    quiet: bool = False,
) -> TrainReport:
    """Fit, calibrate on held-out segments, choose the threshold for the budget, write a bundle.

    Args:
        recipe: a bundled name, a TOML file, or a recipe.
        data: a feature set, or a folder that `open_data` knows.
        out: folder of the bundle; one that is there is replaced.
        seed: instead of the recipe's.
        quiet: without progress on stderr.

    Raises:
        ConfigError: bad recipe.
        DataError: bad data; names file and row.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe)
    if seed is not None:
        recipe = msgspec.structs.replace(recipe, seed=seed)
    features = (open_data(data) if isinstance(data, Path) else data).labelled()
    check_splits(features)
    check_two_classes(features)
    if recipe.kind == "evidence":
        from egomon.train.fit_evidence_bundle import fit
    else:
        from egomon.train.fit_uemcm import fit
    trained = fit(recipe, features, quiet=quiet)
    return _write(recipe, features, trained, out)


def _write(recipe: Recipe, data: FeatureSet, trained: Trained, out: Path) -> TrainReport:
    y = trained.held.labels
    calibration = fit_calibration(trained.held_log_odds, y)
    p = probability(trained.held_log_odds, calibration)
    hours = trained.held.stream_hours()
    threshold = min(0.999, budget_threshold(p, y, hours, recipe.false_alarms_per_hour))
    evaluation = report(recipe.name, trained.held, p, threshold=threshold)
    keep = ("roc_auc", "pr_auc", "ece", "brier", "mistake_precision", "mistake_recall")
    metrics = {f"{trained.how_held}/{k}": round(evaluation.scores[k], 4) for k in keep}
    metrics |= {k: round(v, 4) for k, v in trained.extra.items()}
    card = BundleCard(
        name=recipe.name,
        description=recipe.description,
        created=datetime.now(UTC).strftime("%Y-%m-%d"),
        egomon_version=_version(),
        licence="Apache-2.0",
        frame_encoder=data.card.encoder,
        small=trained.small,
        stream=recipe.stream,
        decision=DecisionCard(
            threshold_fused=threshold,
            threshold_small=threshold,
            calibration_small=calibration,
            calibration_fused=calibration,
            false_alarms_per_hour=recipe.false_alarms_per_hour,
        ),
        data=(
            DataCard(
                name=data.card.name,
                licence=data.card.licence,
                attribution=data.card.attribution,
                recordings=len(data.recordings),
                segments=len(data.segments),
                prior=float(data.labels.mean()),
            ),
        ),
        metrics=metrics,
        notes=f"Scores under {trained.how_held}/ are on segments whose recordings the heads were "
        "not fitted on; segments were given by the annotation.",
    )
    tensors = {f"small.{name}": tensor for name, tensor in trained.tensors.items()}
    folder = save_bundle(out, card, tensors)
    evaluation = replace(evaluation, model=read_card(folder).name)
    return TrainReport(folder, evaluation, metrics)


def _version() -> str:
    from importlib.metadata import version

    return version("egomon")
