"""The three losses of UE-MCM: re-weighted cross-entropy, pairwise AUC, label-aware logits.

Pure functions on logits z (B, 2) and labels y (B,) in {0 correct, 1 mistake}; a batch of one class
is safe everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def class_weights(counts: Sequence[float], beta: float) -> Tensor:
    """Weights by the effective number of samples, (C,) summing to C (Cui 2019, eq. 2).

    The effective number of n samples is (1 - beta^n) / (1 - beta); beta = 1 is inverse frequency.
    At counts like HoloAssist's, beta <= .999 weights all classes alike.

    Args:
        counts: samples of each class, above 0.
        beta: in [0, 1].

    >>> class_weights([90, 10], 1.0)
    tensor([0.2000, 1.8000])
    >>> class_weights([90, 10], 0.0)
    tensor([1., 1.])
    """
    n = torch.as_tensor(counts, dtype=torch.float64)
    if not (n > 0).all():
        raise ValueError(f"every class needs samples, got counts {list(counts)}")
    if not 0 <= beta <= 1:
        raise ValueError(f"beta must be in [0, 1], got {beta}")
    effective = n if beta == 1 else (1 - beta**n) / (1 - beta)
    inverse = 1 / effective
    return (len(n) * inverse / inverse.sum()).float()


def auc_square(score: Tensor, y: Tensor, margin: float = 1.0) -> Tensor:
    """Mean of (margin - (s_i - s_j))^2 over all pairs of a mistake i and a correct j, in O(N).

    Equal to Var(s+) + Var(s-) + (margin - mean s+ + mean s-)^2 with population variances. A batch
    of one class gives 0 with zero gradient.

    Args:
        score: (N,) probabilities of a mistake.
        y: (N,) labels.
        margin: wanted distance of the two classes.

    >>> auc_square(torch.tensor([0.9, 0.1]), torch.tensor([1, 0]))
    tensor(0.0400)
    """
    is_mistake = y.to(score.dtype)
    is_correct = 1 - is_mistake
    n_mistake, n_correct = is_mistake.sum(), is_correct.sum()
    mean_mistake = (score * is_mistake).sum() / n_mistake.clamp_min(1)
    mean_correct = (score * is_correct).sum() / n_correct.clamp_min(1)
    variance_mistake = ((score - mean_mistake) ** 2 * is_mistake).sum() / n_mistake.clamp_min(1)
    variance_correct = ((score - mean_correct) ** 2 * is_correct).sum() / n_correct.clamp_min(1)
    both = (n_mistake > 0) & (n_correct > 0)
    distance = (margin - mean_mistake + mean_correct) ** 2
    return (variance_mistake + variance_correct + distance) * both


def logit_adjusted_ce(z: Tensor, y: Tensor, prior: Tensor, tau: float = 1.0) -> Tensor:
    """Cross-entropy on z + tau log(prior) (Menon 2021, eq. 10); no shift at test time.

    Args:
        z: (B, C) logits.
        y: (B,) labels.
        prior: (C,) class shares that the sampler gives.
        tau: strength.
    """
    return F.cross_entropy(z + tau * prior.log(), y)


def uemcm_loss(
    z: Tensor,
    y: Tensor,
    weights: Tensor,
    prior: Tensor,
    lambdas: tuple[float, float, float] = (1.0, 1.0, 1.0),
    tau: float = 1.0,
) -> Tensor:
    """Re-weighted CE + AUC + label-aware loss, weighted by `lambdas` (paper, loss equations)."""
    return (
        lambdas[0] * F.cross_entropy(z, y, weight=weights)
        + lambdas[1] * auc_square(z.softmax(dim=-1)[:, 1], y)
        + lambdas[2] * logit_adjusted_ce(z, y, prior, tau)
    )
