"""The recipe kind `uemcm`: the method's heads with the long-tail losses, AdamW and cosine."""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from egomon.branches.bundle.card import SmallCard
from egomon.branches.bundle.weights import Tensors, part
from egomon.branches.torch_modules import to_arrays
from egomon.errors import ConfigError
from egomon.train.features.feature_set import FeatureSet
from egomon.train.fitting.batches import Views, make_views, pool, stratified
from egomon.train.fitting.header_start import start_header
from egomon.train.fitting.recipe import Recipe
from egomon.train.fitting.trained import FittedFusion, FittedModel, split_for_validation
from egomon.train.fitting.uemcm_model import Output, UemcmModel, gate_card
from egomon.train.losses import class_weights, total_loss
from egomon.train.metrics.curves import ScoreArray, pr_auc, roc_auc
from egomon.train.metrics.threshold import Labels

_log = logging.getLogger(__name__)
_SCORE_BATCH = 1024
_CLIP_NORM = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutScores:
    """(S,) log odds of a model."""

    fused: ScoreArray
    """Of the gate; of the small branch where it is alone."""
    small: ScoreArray
    large: ScoreArray | None


def fit(recipe: Recipe, data: FeatureSet, *, quiet: bool = False) -> FittedModel:
    """Train on the split `train`, stop early on `val`.

    Raises:
        ConfigError: a recipe with members and a large branch.
        DataError: if the splits overlap, one is of one class, or large vectors are missing.
    """
    if recipe.members > 1 and recipe.large:
        raise ConfigError(
            f"recipe {recipe.name}: members = {recipe.members} and large = true exclude each "
            "other; one gate cannot weigh several heads"
        )
    fitting, held = split_for_validation(data)
    card = card_of(recipe, fitting)
    views, held_views = (
        make_views(each, recipe.stream, large=recipe.large) for each in (fitting, held)
    )
    if recipe.header == "meanP":
        views, held_views = pool(views), pool(held_views)
    targets = targets_of(card, fitting)
    single = msgspec.structs.replace(card, members=1)
    states, found = [], []
    for member in range(recipe.members):
        seeded = msgspec.structs.replace(recipe, seed=recipe.seed + member)
        model, held_scores = fit_model(
            seeded, single, views, targets, held_views, held.labels, quiet=quiet
        )
        states.append(to_arrays(model.state_dict()))
        found.append(held_scores)
    scores = np.mean([each.small for each in found], axis=0)
    extra = {}
    if recipe.members > 1:
        each = [roc_auc(held.labels, one.small) for one in found]
        extra = {"val/roc_auc_of_members": float(np.mean(each)), "val/members": recipe.members}
    fused = _fused_part(recipe, states[0], found[0]) if recipe.large else None
    return FittedModel(card, _small_tensors(states), held, scores, "val", extra, fused)


def fit_model(
    recipe: Recipe,
    card: SmallCard,
    views: Views,
    targets: dict[str, Tensor],
    held: Views,
    held_y: Labels,
    *,
    quiet: bool = False,
) -> tuple[UemcmModel, HeldOutScores]:
    """Best of all epochs by validation PR-AUC, and its log odds on the held segments."""
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
    best, best_state, best_scores, waited = -1.0, model.state_dict(), score_views(model, held), 0
    for epoch in range(recipe.epochs):
        model.train()
        for numbers in stratified(y, recipe.batch, recipe.at_least, generator):
            output = model(views.batch(numbers), views.large_batch(numbers))
            loss = _loss(recipe, output, {k: v[numbers] for k, v in targets.items()}, y)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP_NORM)
            optimiser.step()
            schedule.step()
        scores = score_views(model, held)
        area = pr_auc(held_y, scores.fused)
        if not quiet:
            ranked = roc_auc(held_y, scores.fused)
            _log.info("epoch %d: held-out ROC-AUC %.3f, PR-AUC %.3f", epoch + 1, ranked, area)
        waited += 1
        if area > best:
            best, waited = area, 0
            best_state, best_scores = copy.deepcopy(model.state_dict()), scores
        if waited >= recipe.patience:
            break
    model.load_state_dict(best_state)
    return model.eval(), best_scores


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


def _small_tensors(states: list[Tensors]) -> Tensors:
    small = [part(state, "small.") for state in states]
    if len(small) == 1:
        return small[0]
    return {f"members.{k}.{name}": v for k, one in enumerate(small) for name, v in one.items()}


def _fused_part(recipe: Recipe, state: Tensors, scores: HeldOutScores) -> FittedFusion:
    assert scores.large is not None  # the model had large vectors
    return FittedFusion(
        gate=gate_card(recipe),
        large_width=recipe.large_width,
        tensors={n: v for n, v in state.items() if n.startswith(("large_head.", "gate."))},
        held_log_odds=scores.fused,
        held_large=scores.large,
    )


def card_of(recipe: Recipe, data: FeatureSet) -> SmallCard:
    """The small branch that a recipe describes, with the names of the data."""
    named = recipe.step_weight > 0
    return SmallCard(
        header=recipe.header,
        header_layers=recipe.header_layers,
        header_heads=recipe.header_heads,
        header_width=recipe.header_width,
        width=recipe.width,
        context=recipe.context,
        members=recipe.members,
        steps=tuple(sorted({row.text for row in data.segments})) if named else (),
        workflows=tuple(sorted({row.workflow for row in data.segments})) if named else (),
    )


def targets_of(card: SmallCard, data: FeatureSet) -> dict[str, Tensor]:
    """Labels of the losses: `label`, and `step` and `workflow` where the card names them."""
    targets = {"label": torch.from_numpy(data.labels)}
    if card.steps:
        step = {name: k for k, name in enumerate(card.steps)}
        workflow = {name: k for k, name in enumerate(card.workflows)}
        targets["step"] = torch.tensor([step[row.text] for row in data.segments])
        targets["workflow"] = torch.tensor([workflow[row.workflow] for row in data.segments])
    return targets


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
