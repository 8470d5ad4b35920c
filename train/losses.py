"""The long-tail losses of the method: pure functions of scores and labels (paper, loss section).

Labels are 0 = correct and 1 = mistake, as long integers. Every loss is safe on a batch that holds
one class only or nothing: it is then finite and its gradient too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Lambdas = tuple[float, float, float]
"""Weights of re-weighted CE, AUC and logit-adjusted CE; 0 leaves a term out."""


def class_weights(counts: Sequence[float] | Tensor, beta: float) -> Tensor:
    """Weights from the effective number of samples, (1 - beta^n) / (1 - beta) (Cui 2019, eq. 2).

    They sum to the number of classes. beta = 0 gives equal weights, beta = 1 the limit, inverse
    frequency. At 100k samples .999 hardly weighs at all: take .99999 or 1. A class without
    samples counts as one.

    Args:
        counts: (C,) samples of each class; if a sampler draws, what it draws.
        beta: in [0, 1].

    Raises:
        ValueError: if beta is outside [0, 1].

    >>> weights = class_weights([118482, 6277], 0.99999)
    >>> round(float(weights[1] / weights[0]), 2)
    11.41
    """
    if not 0 <= beta <= 1:
        raise ValueError(f"beta must be in [0, 1], got {beta}")
    n = torch.as_tensor(counts, dtype=torch.float64).clamp_min(1)
    effective = n if beta == 1 else (1 - beta**n) / (1 - beta)
    return (len(n) / effective / (1 / effective).sum()).float()


def weighted_ce(z: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """Class-balanced cross-entropy: mean of w[y] * CE (Cui 2019, eq. 5).

    Not torch's weighted mean, which divides by the sum of the picked weights and so depends on
    the mix of the batch.

    Args:
        z: (B, 2) logits.
        y: (B,) labels.
        weights: (2,) from `class_weights`.

    >>> z = torch.zeros(2, 2)
    >>> round(float(weighted_ce(z, torch.tensor([0, 1]), torch.tensor([0.5, 1.5]))), 4)
    0.6931
    """
    if not len(y):
        return z.sum() * 0
    return (F.cross_entropy(z, y, reduction="none") * weights.to(z)[y]).mean()


def auc_square(score: Tensor, y: Tensor, margin: float = 1.0) -> Tensor:
    """Mean of (margin - (s_i - s_j))^2 over all mistake/correct pairs, exactly, in O(B).

    The pairs' mean equals Var(s+) + Var(s-) + (margin - (mean s+ - mean s-))^2 with population
    variances. On a batch of one class it is 0 with zero gradient.

    Args:
        score: (B,) probabilities of a mistake; on raw logits the margin fights the CE.
        y: (B,) labels.
        margin: wanted distance of the two classes.

    >>> score, y = torch.tensor([0.9, 0.4, 0.2]), torch.tensor([1, 0, 0])
    >>> round(float(auc_square(score, y)), 4)  # ((1 - .5)^2 + (1 - .7)^2) / 2
    0.17
    """
    positive = y.to(score.dtype)
    mean_p, mean_n = _mean(score, positive), _mean(score, 1 - positive)
    spread = _mean((score - mean_p) ** 2, positive) + _mean((score - mean_n) ** 2, 1 - positive)
    both = (positive.sum() > 0) & (positive.sum() < len(positive))
    return (spread + (margin - mean_p + mean_n) ** 2) * both


def logit_adjusted_ce(z: Tensor, y: Tensor, prior: Tensor, tau: float = 1.0) -> Tensor:
    """Cross-entropy of z + tau log(prior) (Menon 2021, eq. 10); nothing is shifted at test time.

    Args:
        z: (B, 2) logits.
        y: (B,) labels.
        prior: (2,) class shares, of the sampler if it re-samples; zeros are lifted to 1e-6.
        tau: strength; 0 is plain CE.

    >>> z, y = torch.zeros(1, 2), torch.tensor([1])
    >>> round(float(logit_adjusted_ce(z, y, torch.tensor([0.95, 0.05]))), 3)  # -log .05
    2.996
    """
    if not len(y):
        return z.sum() * 0
    return F.cross_entropy(z + tau * prior.to(z).clamp_min(1e-6).log(), y)


def uemcm_loss(
    z: Tensor,
    y: Tensor,
    weights: Tensor,
    prior: Tensor,
    lam: Lambdas = (1.0, 1.0, 1.0),
    *,
    tau: float = 1.0,
    margin: float = 1.0,
) -> Tensor:
    """lam_0 re-weighted CE + lam_1 AUC + lam_2 logit-adjusted CE (paper, total loss).

    Args:
        z: (B, 2) logits: correct, mistake.
        y: (B,) labels.
        weights: (2,) from `class_weights`.
        prior: (2,) class shares.
        lam: weight of each term.
        tau: strength of the logit adjustment.
        margin: of the AUC term.

    >>> z = torch.zeros(2, 2)
    >>> half = torch.full((2,), 0.5)
    >>> round(float(uemcm_loss(z, torch.tensor([0, 1]), torch.ones(2), half)), 4)
    2.3863
    """
    loss = z.sum() * 0
    if lam[0]:
        loss = loss + lam[0] * weighted_ce(z, y, weights)
    if lam[1]:
        loss = loss + lam[1] * auc_square(z.softmax(dim=-1)[:, 1], y, margin)
    if lam[2]:
        loss = loss + lam[2] * logit_adjusted_ce(z, y, prior, tau)
    return loss


def total_loss(
    z: Tensor,
    parts: Sequence[Tensor],
    y: Tensor,
    weights: Tensor,
    prior: Tensor,
    lam: Lambdas = (1.0, 1.0, 1.0),
    *,
    auxiliary: float = 0.5,
    tau: float = 1.0,
) -> Tensor:
    """The loss on the fused logits plus `auxiliary` times the same on each branch's own logits.

    Without the second part z_s is trained through the gate alone and means nothing by itself,
    while a monitor without a large branch has only z_s to go by.

    Args:
        z: (B, 2) fused logits.
        parts: each (B, 2), z_s and z_l.
        y: (B,) labels.
        weights: (2,) class weights.
        prior: (2,) class shares.
        lam: weight of each term.
        auxiliary: weight of the branches' own losses.
        tau: strength of the logit adjustment.

    >>> z, y, half = torch.zeros(2, 2), torch.tensor([0, 1]), torch.full((2,), 0.5)
    >>> alone = uemcm_loss(z, y, torch.ones(2), half)
    >>> bool(torch.isclose(total_loss(z, [z, z], y, torch.ones(2), half), 2 * alone))
    True
    """
    loss = uemcm_loss(z, y, weights, prior, lam, tau=tau)
    for part in parts:
        loss = loss + auxiliary * uemcm_loss(part, y, weights, prior, lam, tau=tau)
    return loss


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp_min(1)
