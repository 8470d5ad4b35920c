"""Fits both heads and the gate on views: the long-tail losses, AdamW and cosine."""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass, field

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from egomon.branches.bundle.card import SmallCard
from egomon.branches.bundle.weights import Tensors, part
from egomon.branches.torch_modules import StateDict, to_arrays, to_torch
from egomon.train.fitting.heads.batches import Views, stratified
from egomon.train.fitting.heads.checkpoint import Checkpoints
from egomon.train.fitting.heads.fit_state import restore, snapshot
from egomon.train.fitting.heads.header_start import start_header
from egomon.train.fitting.heads.uemcm_model import Output, UemcmModel
from egomon.train.fitting.recipe import Recipe
from egomon.train.fitting.record import EpochRecord
from egomon.train.losses import class_weights, total_loss
from egomon.train.metrics.curves import ScoreArray, pr_auc, roc_auc
from egomon.train.metrics.threshold import Labels

_log = logging.getLogger(__name__)
# Only memory bounds it: a score does not depend on its batch.
_SCORE_BATCH = 1024
_CLIP_NORM = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutScores:
    """(S,) log odds of a model."""

    fused: ScoreArray
    """Of the gate; of the small branch where it is alone."""
    small: ScoreArray
    large: ScoreArray | None


@dataclass(slots=True, eq=False)
class _Course:
    """Course of a fit so far."""

    best_state: StateDict
    best_scores: HeldOutScores
    best: float = -1.0
    waited: int = 0
    epochs: list[EpochRecord] = field(default_factory=list)


def fit_model(
    recipe: Recipe,
    card: SmallCard,
    views: Views,
    targets: dict[str, Tensor],
    held: Views,
    held_y: Labels,
    *,
    quiet: bool = False,
    checkpoints: Checkpoints | None = None,
) -> tuple[UemcmModel, HeldOutScores, list[EpochRecord]]:
    """Best of all epochs by validation PR-AUC, its log odds on the held segments, and all epochs.

    With `checkpoints` it goes on after the last epoch that an interrupted fit of this seed had
    finished, to the same weights.
    """
    torch.manual_seed(recipe.seed)
    generator = np.random.default_rng(recipe.seed)
    large_dim = 0 if views.large is None else views.large.shape[1]
    model = UemcmModel(views.vectors.shape[1], large_dim, card, recipe)
    if recipe.header_start:
        start_header(model.small.header, recipe.header_start)
    y = targets["label"].numpy()
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay
    )
    steps = recipe.epochs * -(-len(y) // recipe.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    name = f"seed-{recipe.seed}"
    saved = None if checkpoints is None else checkpoints.read(name)
    if saved is None:
        course = _Course(copy.deepcopy(model.state_dict()), score_views(model, held))
    else:
        restore(saved, model, optimiser, schedule, generator)
        course = _course(saved.state, saved.tensors)
        _log.info("going on after epoch %d", len(course.epochs))
    while len(course.epochs) < recipe.epochs and course.waited < recipe.patience:
        model.train()
        losses = []
        for numbers in stratified(y, recipe.batch, recipe.at_least, generator):
            output = model(views.batch(numbers), views.large_batch(numbers))
            loss = _loss(recipe, output, {k: v[numbers] for k, v in targets.items()}, y)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP_NORM)
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
        _note(course, model, score_views(model, held), held_y, float(np.mean(losses)))
        told = course.epochs[-1]
        if not quiet:
            _log.info(
                "epoch %d: held-out ROC-AUC %.3f, PR-AUC %.3f",
                len(course.epochs), told.roc_auc, told.pr_auc,
            )  # fmt: skip
        if checkpoints is not None:
            parts = _parts(course)
            checkpoints.write(name, snapshot(model, optimiser, schedule, generator, *parts))
    model.load_state_dict(course.best_state)
    return model.eval(), course.best_scores, course.epochs


def _note(
    course: _Course, model: UemcmModel, scores: HeldOutScores, held_y: Labels, loss: float
) -> None:
    """Take an epoch into the course; keep its weights if they are the best so far."""
    area = pr_auc(held_y, scores.fused)
    course.epochs.append(EpochRecord(loss, roc_auc(held_y, scores.fused), area))
    course.waited += 1
    if area > course.best:
        course.best, course.waited = area, 0
        course.best_state, course.best_scores = copy.deepcopy(model.state_dict()), scores


def _parts(course: _Course) -> tuple[dict[str, object], Tensors]:
    """The course as what a checkpoint holds."""
    scores = {f"scores.{n}": getattr(course.best_scores, n) for n in HeldOutScores.__slots__}
    return (
        {
            "best": course.best,
            "waited": course.waited,
            "epochs": msgspec.to_builtins(course.epochs),
        },
        {f"best.{name}": value for name, value in to_arrays(course.best_state).items()}
        | {name: value for name, value in scores.items() if value is not None},
    )


def _course(state: dict[str, object], tensors: Tensors) -> _Course:
    scores = part(tensors, "scores.")
    return _Course(
        best_state=to_torch(part(tensors, "best.")),
        best_scores=HeldOutScores(scores["fused"], scores["small"], scores.get("large")),
        best=msgspec.convert(state["best"], float),
        waited=msgspec.convert(state["waited"], int),
        epochs=msgspec.convert(state["epochs"], list[EpochRecord]),
    )


@torch.inference_mode()
def score_views(model: UemcmModel, views: Views) -> HeldOutScores:
    """Score all segments of `views`."""
    model.eval()
    parts = []
    for start in range(0, len(views.fine), _SCORE_BATCH):
        numbers = np.arange(start, min(start + _SCORE_BATCH, len(views.fine)))
        output = model(views.batch(numbers), views.large_batch(numbers))
        logits = torch.stack([output.logits, *output.parts])
        parts.append((logits[..., 1] - logits[..., 0]).double().numpy())
    scores = np.concatenate(parts, axis=1)
    if len(scores) == 1:
        return HeldOutScores(scores[0], scores[0], None)
    return HeldOutScores(scores[0], scores[1], scores[2])


def _loss(recipe: Recipe, output: Output, target: dict[str, Tensor], y: Labels) -> Tensor:
    # The sampler only tops batches up, so its prior is that of the data, nearly.
    wrong = float(y.mean())
    prior = torch.tensor([1 - wrong, wrong])
    weights = class_weights([len(y) * (1 - wrong), len(y) * wrong], recipe.beta)
    loss = total_loss(
        output.logits,
        output.parts,
        target["label"],
        weights,
        prior,
        recipe.lambdas,
        auxiliary=recipe.auxiliary,
        tau=recipe.tau,
    )
    small = output.small
    if small.step is not None:
        loss = loss + recipe.step_weight * F.cross_entropy(small.step, target["step"])
    if small.workflow is not None:
        loss = loss + recipe.step_weight * F.cross_entropy(small.workflow, target["workflow"])
    return loss
