"""`egomon train`: a recipe and labelled vectors to a bundle."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table

from egomon.branches.bundle.card import BundleCard, DataCard, StreamCard
from egomon.branches.bundle.locate import read_card
from egomon.branches.bundle.weights import Tensors, parse_safetensors
from egomon.branches.encoders.registry import check_weights
from egomon.branches.load_bundle import save_bundle
from egomon.errors import DataError, UsageError
from egomon.extras import needs_extra
from egomon.train.datasets.open import open_data
from egomon.train.evaluation.evaluate import EvaluationReport, report
from egomon.train.features.feature_set import (
    ENCODER_FILE,
    FeatureSet,
    check_splits,
    check_two_classes,
)
from egomon.train.feedback import FeedbackUse, apply_feedback
from egomon.train.fitting.fitted_on import fingerprints
from egomon.train.fitting.recipe import Recipe, load_recipe
from egomon.train.fitting.thresholds import decide
from egomon.train.fitting.trained import FittedModel, spread_of_seeds


@dataclass(frozen=True, slots=True)
class TrainReport:
    """Result of a training, with scores on held-out segments."""

    folder: Path
    evaluation: EvaluationReport
    metrics: dict[str, float]
    feedback: FeedbackUse | None = None

    def to_json(self) -> dict[str, Any]:
        """Folder, card metrics and the whole evaluation."""
        return {
            "bundle": str(self.folder),
            "metrics": self.metrics,
            "held_out": self.evaluation.to_json(),
            "feedback": None if self.feedback is None else self.feedback.to_json(),
        }

    def table(self) -> Table:
        """The held-out evaluation."""
        table = self.evaluation.table()
        table.title = f"{self.folder}: {table.title}"
        if self.feedback is not None:
            told = ", ".join(f"{count} {what}" for what, count in self.feedback.to_json().items())
            table.caption = f"{table.caption}; feedback: {told}"
        return table


def train(
    recipe: Path | str | Recipe,
    data: Path | FeatureSet,
    out: Path,
    *,
    seed: int | None = None,
    seeds: int | None = None,
    feedback: Path | None = None,
    quiet: bool = False,
) -> TrainReport:
    """Fit, calibrate on held-out segments, choose the threshold for the budget, write a bundle.

    Args:
        recipe: a bundled name, a TOML file, or a recipe.
        data: a feature set, or a folder that `open_data` knows.
        out: folder of the bundle; one that is there is replaced.
        seed: instead of the recipe's.
        seeds: number of seeds whose spread the card tells; the bundle is that of the first. None
            takes the recipe's.
        feedback: event store whose verdicts on alerts set or add labels.
        quiet: without progress on stderr.

    Raises:
        ConfigError: bad recipe.
        DataError: bad data; names file and row.
        BundleError: the encoder's weights are not those that made the vectors any more.
        UsageError: no seed.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe)
    if seed is not None:
        recipe = msgspec.structs.replace(recipe, seed=seed)
    if seeds is not None:
        if seeds < 1:
            raise UsageError(f"--seeds {seeds}: a spread needs at least one seed")
        recipe = msgspec.structs.replace(recipe, cv_seeds=seeds)
    features = open_data(data) if isinstance(data, Path) else data
    check_weights(features.card.encoder)
    use = None
    if feedback is not None:
        features, use = apply_feedback(features, feedback)
    features = features.labelled()
    check_splits(features)
    check_two_classes(features)
    recipe = msgspec.structs.replace(recipe, stream=_stream(recipe, features))
    if recipe.kind == "evidence":
        from egomon.train.fitting.step_statistics_bundle import fit
    else:
        with needs_extra(f"training the recipe {recipe.name}", "torch"):
            from egomon.train.fitting.uemcm import fit
    trained = fit(recipe, features, quiet=quiet)
    if seeds is not None and recipe.kind == "uemcm":
        more = range(recipe.seed + 1, recipe.seed + seeds)
        others = (msgspec.structs.replace(recipe, seed=other) for other in more)
        found = [trained, *(fit(other, features, quiet=quiet) for other in others)]
        trained = replace(trained, extra=trained.extra | spread_of_seeds(found))
    return replace(_write(recipe, features, trained, out), feedback=use)


def _stream(recipe: Recipe, data: FeatureSet) -> StreamCard:
    # Vectors exist at the rate they were extracted with, whatever a recipe says.
    stream = msgspec.structs.replace(recipe.stream, fps=data.card.fps)
    if not recipe.fit_windows:
        return stream
    median = statistics.median(row.end - row.start for row in data.segments)
    length = max(math.ceil(median * stream.fps), 2) / stream.fps
    return msgspec.structs.replace(stream, length_seconds=length, stride_seconds=length / 2)


def _write(recipe: Recipe, data: FeatureSet, trained: FittedModel, out: Path) -> TrainReport:
    decision, scores = decide(trained, recipe.false_alarms_per_hour)
    evaluation = report(recipe.name, trained.held, scores)
    keep = ("roc_auc", "pr_auc", "ece", "brier", "mistake_precision", "mistake_recall")
    metrics = {f"{trained.how_held}/{k}": round(evaluation.scores[k], 4) for k in keep}
    for name, row in evaluation.branches.items():
        metrics |= {f"{trained.how_held}/{name}_{k}": round(row[k], 4) for k in keep[:2]}
    metrics |= {k: round(v, 4) for k, v in trained.extra.items()}
    fused = trained.fused
    card = BundleCard(
        name=recipe.name,
        description=recipe.description,
        created=datetime.now(UTC).strftime("%Y-%m-%d"),
        egomon_version=_version(),
        licence="Apache-2.0",
        frame_encoder=data.card.encoder,
        small=trained.small,
        stream=recipe.stream,
        large=data.card.large if fused else None,
        large_width=fused.large_width if fused else recipe.large_width,
        gate=fused.gate if fused else None,
        decision=decision,
        data=(
            DataCard(
                name=data.card.name,
                licence=data.card.licence,
                attribution=data.card.attribution,
                recordings=len(data.recordings),
                segments=len(data.segments),
                prior=float(data.labels.mean()),
                fitted_on=fingerprints(trained.fitted_recordings(data)),
            ),
        ),
        metrics=metrics,
        notes=f"Scores under {trained.how_held}/ are on segments whose recordings the heads were "
        "not fitted on; segments were given by the annotation. Thresholds and calibration, and "
        "of the kind uemcm the epoch too, were chosen on the same segments.",
    )
    tensors = {f"small.{name}": tensor for name, tensor in trained.tensors.items()}
    tensors |= fused.tensors if fused else {}
    tensors |= _encoder(data)
    folder = save_bundle(out, card, tensors)
    evaluation = replace(evaluation, model=read_card(folder).name)
    return TrainReport(folder, evaluation, metrics)


def _encoder(data: FeatureSet) -> Tensors:
    """Weights of a tower that lives in its bundle alone; `extract` put them into the set."""
    if data.card.encoder.weights != "bundle":
        return {}
    path = Path(data.where, ENCODER_FILE)
    try:
        tensors = parse_safetensors(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}), so a bundle made from this feature set "
            "could not see videos; run egomon extract again"
        ) from error
    return {f"encoder.{name}": tensor for name, tensor in tensors.items()}


def _version() -> str:
    from importlib.metadata import version

    return version("egomon")
