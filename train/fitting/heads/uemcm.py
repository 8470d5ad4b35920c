"""The recipe kind `uemcm`: the method's heads with the long-tail losses, AdamW and cosine."""

from __future__ import annotations

import msgspec
import numpy as np
import torch
from torch import Tensor

from egomon.branches.bundle.card import SmallCard
from egomon.branches.bundle.weights import Tensors, part
from egomon.branches.torch_modules import to_arrays
from egomon.errors import ConfigError
from egomon.train.features.feature_set import FeatureSet
from egomon.train.fitting.heads.batches import make_views, pool
from egomon.train.fitting.heads.checkpoint import Checkpoints
from egomon.train.fitting.heads.fit_heads import HeldOutScores, fit_model
from egomon.train.fitting.heads.uemcm_model import gate_card
from egomon.train.fitting.recipe import Recipe
from egomon.train.fitting.record import FitRecord
from egomon.train.fitting.trained import FittedFusion, FittedModel, split_for_validation
from egomon.train.metrics.curves import roc_auc


def fit(
    recipe: Recipe,
    data: FeatureSet,
    *,
    quiet: bool = False,
    checkpoints: Checkpoints | None = None,
) -> FittedModel:
    """Train on the split `train`, stop early on `val`; go on from `checkpoints` that there are.

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
        make_views(each, recipe.stream, large=bool(recipe.large)) for each in (fitting, held)
    )
    if recipe.header == "meanP":
        views, held_views = pool(views), pool(held_views)
    targets = targets_of(card, fitting)
    single = msgspec.structs.replace(card, members=1)
    states, found, fits = [], [], []
    for member in range(recipe.members):
        seeded = msgspec.structs.replace(recipe, seed=recipe.seed + member)
        model, held_scores, epochs = fit_model(
            seeded, single, views, targets, held_views, held.labels,
            quiet=quiet, checkpoints=checkpoints,
        )  # fmt: skip
        best = 1 + int(np.argmax([epoch.pr_auc for epoch in epochs]))
        fits.append(FitRecord(seed=seeded.seed, best_epoch=best, epochs=epochs))
        states.append(to_arrays(model.state_dict()))
        found.append(held_scores)
    scores = np.mean([each.small for each in found], axis=0)
    extra = {}
    if recipe.members > 1:
        each = [roc_auc(held.labels, one.small) for one in found]
        extra = {"val/roc_auc_of_members": float(np.mean(each)), "val/members": recipe.members}
    fused = _fused_part(recipe, states[0], found[0]) if recipe.large else None
    tensors = _small_tensors(states)
    return FittedModel(card, tensors, held, scores, "val", extra, fused, tuple(fits))


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
        context=recipe.context_mode != "none",
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
