"""`egomon train`: a recipe and labelled vectors to a bundle."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table

from egomon.branches.bundle.card import StreamCard
from egomon.branches.bundle.large_weights import check_large_weights
from egomon.branches.encoders.registry import check_weights
from egomon.errors import ConfigError, DataError, UsageError
from egomon.extras import needs_extra
from egomon.train.datasets.open import open_data
from egomon.train.evaluation.evaluate import EvaluationReport
from egomon.train.evaluation.scoring import check_mode
from egomon.train.features.feature_set import FeatureSet, check_splits, check_two_classes
from egomon.train.feedback import FeedbackUse, apply_feedback
from egomon.train.fitting.heads.checkpoint import Checkpoints
from egomon.train.fitting.recipe import Recipe, load_recipe
from egomon.train.fitting.record import TrainRecord, describe_data, versions
from egomon.train.fitting.trained import FittedModel, spread_of_seeds
from egomon.train.fitting.write_bundle import write_bundle


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
    context: str | None = None,
    feedback: Path | None = None,
    command: str = "",
    quiet: bool = False,
) -> TrainReport:
    """Fit, calibrate on held-out segments, choose the threshold for the budget, write a bundle.

    A training of heads that was interrupted goes on after its last whole epoch, if recipe, data
    and versions are the same: until the bundle is written, epochs lie in `.<out>-training`.

    Args:
        recipe: a bundled name, a TOML file, or a recipe.
        data: a feature set, or a folder that `open_data` knows.
        out: folder of the bundle; one that is there is replaced.
        seed: instead of the recipe's.
        seeds: number of seeds whose spread the card tells; the bundle is that of the first. None
            takes the recipe's.
        context: instead of the recipe's: causal, offline or none.
        feedback: event store whose verdicts on alerts set or add labels.
        command: for the record.
        quiet: without progress on stderr.

    Raises:
        ConfigError: bad recipe.
        DataError: bad data; names file and row.
        BundleError: an encoder's weights are not those that made the vectors any more.
        UsageError: no seed, or an unknown context.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    recipe = _with_options(recipe, seed, seeds, context)
    features = data if isinstance(data, FeatureSet) else open_data(data)
    check_weights(features.card.encoder)
    check_large_weights(features.card.large)
    use = None
    if feedback is not None:
        features, use = apply_feedback(features, feedback)
    features = features.labelled()
    check_splits(features)
    check_two_classes(features)
    recipe = _for_data(recipe, features)
    described, known = describe_data(features), versions()
    checkpoints = Checkpoints.beside(out, *map(msgspec.json.encode, (recipe, described, known)))
    trained = _fit(recipe, features, quiet, checkpoints)
    if seeds is not None and recipe.kind == "uemcm":
        more = range(recipe.seed + 1, recipe.seed + seeds)
        others = (msgspec.structs.replace(recipe, seed=other) for other in more)
        found = [trained, *(_fit(other, features, quiet, checkpoints) for other in others)]
        fits = tuple(fit for each in found for fit in each.fits)
        trained = replace(trained, extra=trained.extra | spread_of_seeds(found), fits=fits)
    record = TrainRecord(
        command=command,
        recipe=recipe,
        data=described,
        versions=known,
        started=started.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - clock, 1),
        fits=list(trained.fits),
    )
    evaluation, metrics = write_bundle(out, features, trained, record)
    checkpoints.remove()
    return TrainReport(out, evaluation, metrics, use)


def _fit(
    recipe: Recipe, features: FeatureSet, quiet: bool, checkpoints: Checkpoints
) -> FittedModel:
    if recipe.kind == "evidence":
        from egomon.train.fitting.statistics import bundle

        return bundle.fit(recipe, features, quiet=quiet)
    with needs_extra(f"training the recipe {recipe.name}", "torch"):
        from egomon.train.fitting.heads import uemcm
    return uemcm.fit(recipe, features, quiet=quiet, checkpoints=checkpoints)


def _with_options(
    recipe: Recipe, seed: int | None, seeds: int | None, context: str | None
) -> Recipe:
    """The recipe with what the command says instead."""
    if seed is not None:
        recipe = msgspec.structs.replace(recipe, seed=seed)
    if seeds is not None:
        if seeds < 1:
            raise UsageError(f"--seeds {seeds}: a spread needs at least one seed")
        recipe = msgspec.structs.replace(recipe, cv_seeds=seeds)
    mode = check_mode(context)
    return recipe if mode is None else msgspec.structs.replace(recipe, context=mode)


def _for_data(recipe: Recipe, data: FeatureSet) -> Recipe:
    """The recipe with what it leaves to the data."""
    statistics_only = recipe.kind == "evidence"
    if statistics_only and recipe.context_mode != "causal":
        raise ConfigError(
            f"recipe {recipe.name}: context = {recipe.context_mode!r}, but the kind evidence only "
            'counts what came before; take kind = "uemcm"'
        )
    large = recipe.large
    if large is None:
        large = data.large is not None and recipe.members == 1 and not statistics_only
    if large and data.large is None:
        raise DataError(
            f"recipe {recipe.name} trains both branches and the gate, but {data.where} has no "
            f"large-branch vectors; make them with: egomon extract VIDEOS -o {data.where} --large"
        )
    return msgspec.structs.replace(recipe, large=large, stream=_stream(recipe, data))


def _stream(recipe: Recipe, data: FeatureSet) -> StreamCard:
    # Vectors exist at the rate they were extracted with, whatever a recipe says.
    stream = msgspec.structs.replace(recipe.stream, fps=data.card.fps)
    if all(row.context_start == 0 for row in data.segments):
        stream = msgspec.structs.replace(stream, context_from="recording_start")
    if recipe.context_mode == "offline":
        stream = msgspec.structs.replace(stream, context_until="recording_end")
    if not recipe.fit_windows:
        return stream
    median = statistics.median(row.end - row.start for row in data.segments)
    length = max(math.ceil(median * stream.fps), 2) / stream.fps
    return msgspec.structs.replace(stream, length_seconds=length, stride_seconds=length / 2)
