"""The recipe kind `uemcm`: the context branch with the long-tail losses, AdamW and cosine."""

from __future__ import annotations

import copy
import logging

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from egomon.branches.card import SmallCard
from egomon.branches.heads import ContextBranch, SmallOutput
from egomon.train.batches import Views, make_views, pool, stratified
from egomon.train.featureset import FeatureSet
from egomon.train.losses import class_weights, uemcm_loss
from egomon.train.metrics.curves import Scores, pr_auc, roc_auc
from egomon.train.metrics.threshold import Labels
from egomon.train.recipe import Recipe
from egomon.train.trained import Trained, split_for_validation

_log = logging.getLogger(__name__)
_SCORE_BATCH = 1024
_CLIP_NORM = 1.0


def fit(recipe: Recipe, data: FeatureSet, *, quiet: bool = False) -> Trained:
    """Train on the split `train`, stop early on `val`.

    Raises:
        DataError: if the splits overlap or one is of one class.
    """
    fitting, held = split_for_validation(data)
    card = _card(recipe, fitting)
    views, held_views = make_views(fitting, recipe.stream), make_views(held, recipe.stream)
    if recipe.header == "meanP":
        views, held_views = pool(views), pool(held_views)
    targets = _targets(card, fitting)
    branch, scores = fit_branch(recipe, card, views, targets, held_views, held.labels, quiet=quiet)
    tensors = {name: value.detach() for name, value in branch.state_dict().items()}
    return Trained(card, tensors, held, scores, "val", {})


def fit_branch(
    recipe: Recipe,
    card: SmallCard,
    views: Views,
    targets: dict[str, Tensor],
    held: Views,
    held_y: Labels,
    *,
    quiet: bool = False,
) -> tuple[ContextBranch, Scores]:
    """Best of all epochs by validation PR-AUC, and its log odds on the held segments."""
    torch.manual_seed(recipe.seed)
    generator = np.random.default_rng(recipe.seed)
    branch = ContextBranch(views.vectors.shape[1], card, recipe.dropout)
    y = targets["label"].numpy()
    optimiser = torch.optim.AdamW(
        branch.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay
    )
    steps = recipe.epochs * -(-len(y) // recipe.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    best, best_state, best_scores, waited = -1.0, branch.state_dict(), np.zeros(len(held_y)), 0
    for epoch in range(recipe.epochs):
        branch.train()
        for numbers in stratified(y, recipe.batch, recipe.at_least, generator):
            output = branch(*views.batch(numbers))
            loss = _loss(recipe, output, {k: v[numbers] for k, v in targets.items()}, y)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(branch.parameters(), _CLIP_NORM)
            optimiser.step()
            schedule.step()
        scores = log_odds(branch, held)
        area = pr_auc(held_y, scores)
        if not quiet:
            _log.info(
                "epoch %d: held-out ROC-AUC %.3f, PR-AUC %.3f",
                epoch + 1,
                roc_auc(held_y, scores),
                area,
            )
        waited += 1
        if area > best:
            best, waited = area, 0
            best_state, best_scores = copy.deepcopy(branch.state_dict()), scores
        if waited >= recipe.patience:
            break
    branch.load_state_dict(best_state)
    return branch.eval(), best_scores


@torch.inference_mode()
def log_odds(branch: ContextBranch, views: Views) -> Scores:
    """(S,) z[mistake] - z[correct]."""
    branch.eval()
    parts = []
    for start in range(0, len(views.fine), _SCORE_BATCH):
        numbers = np.arange(start, min(start + _SCORE_BATCH, len(views.fine)))
        z = branch(*views.batch(numbers)).logits
        parts.append((z[:, 1] - z[:, 0]).double().numpy())
    return np.concatenate(parts)


def _card(recipe: Recipe, data: FeatureSet) -> SmallCard:
    named = recipe.step_weight > 0
    return SmallCard(
        header=recipe.header,
        header_layers=recipe.header_layers,
        header_heads=recipe.header_heads,
        header_width=recipe.header_width,
        width=recipe.width,
        context=recipe.context,
        steps=tuple(sorted({row.text for row in data.segments})) if named else (),
        workflows=tuple(sorted({row.workflow for row in data.segments})) if named else (),
    )


def _targets(card: SmallCard, data: FeatureSet) -> dict[str, Tensor]:
    targets = {"label": torch.from_numpy(data.labels)}
    if card.steps:
        step = {name: k for k, name in enumerate(card.steps)}
        workflow = {name: k for k, name in enumerate(card.workflows)}
        targets["step"] = torch.tensor([step[row.text] for row in data.segments])
        targets["workflow"] = torch.tensor([workflow[row.workflow] for row in data.segments])
    return targets


def _loss(
    recipe: Recipe,
    output: SmallOutput,
    target: dict[str, Tensor],
    y: Labels,
) -> Tensor:
    # The sampler only tops batches up, so its prior is that of the data, nearly.
    wrong = float(y.mean())
    prior = torch.tensor([1 - wrong, wrong])
    weights = class_weights([len(y) * (1 - wrong), len(y) * wrong], recipe.beta)
    loss = uemcm_loss(
        output.logits, target["label"], weights, prior, recipe.lambdas, tau=recipe.tau
    )
    if output.step is not None:
        loss = loss + recipe.step_weight * F.cross_entropy(output.step, target["step"])
    if output.workflow is not None:
        loss = loss + recipe.step_weight * F.cross_entropy(output.workflow, target["workflow"])
    return loss
