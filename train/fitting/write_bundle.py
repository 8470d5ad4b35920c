"""From fitted heads to a bundle: calibration, thresholds, guard, card and weights."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from egomon import __version__
from egomon.branches.bundle.card import BundleCard, DataCard
from egomon.branches.bundle.locate import read_card
from egomon.branches.bundle.save import save_bundle
from egomon.branches.bundle.weights import Tensors, parse_safetensors
from egomon.errors import DataError
from egomon.train.evaluation.evaluate import EvaluationReport, report
from egomon.train.features.feature_set import ENCODER_FILE, FeatureSet
from egomon.train.fitting.domain import fit_domain
from egomon.train.fitting.fitted_on import fingerprints
from egomon.train.fitting.recipe import Recipe, bundle_name
from egomon.train.fitting.record import TrainRecord
from egomon.train.fitting.thresholds import decide
from egomon.train.fitting.trained import FittedModel

_KEPT = ("roc_auc", "pr_auc", "ece", "brier", "mistake_precision", "mistake_recall")


def write_bundle(
    out: Path, data: FeatureSet, trained: FittedModel, record: TrainRecord
) -> tuple[EvaluationReport, dict[str, float]]:
    """Write the bundle; give its scores on the held segments, and those that its card keeps.

    Raises:
        DataError: the encoder that lives in the bundle is missing from the set.
        BundleError: `out` is no place for a bundle.
    """
    recipe = record.recipe
    name = bundle_name(recipe, out)
    decision, scores = decide(trained, recipe.false_alarms_per_hour)
    evaluation = report(name, trained.held, scores, context=recipe.context_mode)
    metrics = _metrics(trained, evaluation)
    fitted = trained.fitted_recordings(data)
    domain = fit_domain(data)
    fused = trained.fused
    card = BundleCard(
        name=name,
        description=recipe.description,
        created=datetime.now(UTC).strftime("%Y-%m-%d"),
        egomon_version=__version__,
        licence="Apache-2.0",
        frame_encoder=data.card.encoder,
        small=trained.small,
        stream=recipe.stream,
        large=data.card.large if fused else None,
        large_width=fused.large_width if fused else recipe.large_width,
        gate=fused.gate if fused else None,
        decision=decision,
        guard=None if domain is None else domain[0],
        data=(
            DataCard(
                name=data.card.name,
                licence=data.card.licence,
                attribution=data.card.attribution,
                recordings=len(data.recordings),
                segments=len(data.segments),
                prior=float(data.labels.mean()),
                fitted_on=fingerprints(fitted),
            ),
        ),
        metrics=metrics,
        notes=_notes(trained, recipe),
    )
    tensors = {f"small.{name}": tensor for name, tensor in trained.tensors.items()}
    tensors |= fused.tensors if fused else {}
    tensors |= {} if domain is None else {f"guard.{k}": v for k, v in domain[1].items()}
    tensors |= _encoder(data)
    folder = save_bundle(out, card, tensors, record=record.to_json())
    return replace(evaluation, model=read_card(folder).name), metrics


def _metrics(trained: FittedModel, evaluation: EvaluationReport) -> dict[str, float]:
    how = trained.how_held
    metrics = {f"{how}/{k}": evaluation.scores[k] for k in _KEPT}
    for name, row in evaluation.branches.items():
        metrics |= {f"{how}/{name}_{k}": row[k] for k in _KEPT[:2]}
    return {name: round(value, 4) for name, value in (metrics | trained.extra).items()}


def _notes(trained: FittedModel, recipe: Recipe) -> str:
    notes = (
        f"Scores under {trained.how_held}/ are on segments whose recordings the heads were "
        "not fitted on; segments were given by the annotation. Thresholds and calibration, and "
        "of the kind uemcm the epoch too, were chosen on the same segments."
    )
    if recipe.context_mode == "offline":
        notes += (
            " The context was offline: it held what came after a segment too, which no live use "
            "can have."
        )
    return notes


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
