"""Losses against naive references, and on batches that break naive code."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from egomon.train.losses import (
    auc_square,
    class_weights,
    logit_adjusted_ce,
    total_loss,
    uemcm_loss,
    weighted_ce,
)

PRIOR = torch.tensor([0.95, 0.05])


def pairs(score: Tensor, y: Tensor, margin: float) -> float:
    gaps = [(margin - (float(p) - float(n))) ** 2 for p in score[y == 1] for n in score[y == 0]]
    return sum(gaps) / len(gaps)


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 30), st.floats(0, 2))
@settings(max_examples=60, deadline=None)
def test_the_linear_auc_loss_equals_all_pairs(
    seed: int, positives: int, negatives: int, margin: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    score = torch.rand(positives + negatives, generator=generator, dtype=torch.float64)
    y = torch.tensor([1] * positives + [0] * negatives)
    assert abs(float(auc_square(score, y, margin)) - pairs(score, y, margin)) < 1e-10


def test_the_gradient_of_the_linear_auc_loss_equals_that_of_pairs() -> None:
    score = torch.rand(12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    y = torch.tensor([1, 0, 0] * 4)
    a, b = score.clone().requires_grad_(), score.clone().requires_grad_()
    auc_square(a, y).backward()
    ((1 - (b[y == 1][:, None] - b[y == 0][None])) ** 2).mean().backward()
    assert a.grad is not None
    assert b.grad is not None
    assert torch.allclose(a.grad, b.grad, atol=1e-12)


@pytest.mark.parametrize("label", [0, 1])
def test_a_batch_of_one_class_is_finite_and_its_auc_term_has_no_gradient(label: int) -> None:
    z = torch.randn(5, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    y = torch.full((5,), label)
    auc_square(z.softmax(-1)[:, 1], y).backward()
    assert z.grad is not None
    assert torch.equal(z.grad, torch.zeros(5, 2))
    loss = uemcm_loss(z, y, torch.ones(2), PRIOR)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()


def test_an_empty_batch_costs_nothing() -> None:
    z = torch.zeros(0, 2, requires_grad=True)
    loss = uemcm_loss(z, torch.zeros(0, dtype=torch.long), torch.ones(2), PRIOR)
    assert loss.item() == 0.0


def test_class_weights_follow_the_published_ratios() -> None:
    ratios = {}
    for beta in (0.0, 0.999, 0.9999, 0.99999, 1.0):
        weights = class_weights([118482, 6277], beta)
        ratios[beta] = round(float(weights[1] / weights[0]), 2)
        assert float(weights.sum()) == pytest.approx(2)
    assert ratios == {0.0: 1.0, 0.999: 1.0, 0.9999: 2.14, 0.99999: 11.41, 1.0: 18.88}


def test_class_weights_survive_a_class_without_samples() -> None:
    assert torch.isfinite(class_weights([10, 0], 1.0)).all()
    with pytest.raises(ValueError, match="beta"):
        class_weights([1, 1], 1.5)


def test_weighted_ce_is_the_mean_of_weighted_terms_not_a_weighted_mean() -> None:
    z = torch.tensor([[2.0, -1.0], [0.5, 0.3], [-1.0, 1.0]])
    y, w = torch.tensor([0, 1, 1]), torch.tensor([0.2, 1.8])
    terms = [
        float(w[k]) * -math.log(math.exp(row[k]) / sum(math.exp(v) for v in row))
        for row, k in zip(z.tolist(), y.tolist(), strict=True)
    ]
    assert float(weighted_ce(z, y, w)) == pytest.approx(sum(terms) / 3, rel=1e-6)


def test_logit_adjustment_moves_the_optimal_threshold_to_the_balanced_one() -> None:
    generator = torch.Generator().manual_seed(0)
    y = (torch.rand(40_000, generator=generator) < 0.05).long()
    x = torch.randn(40_000, generator=generator) + 2 * y - 1
    shifts = {}
    for tau in (0.0, 1.0):
        theta = torch.zeros(2, requires_grad=True)  # logit of a mistake: theta_0 x + theta_1
        optimiser = torch.optim.LBFGS([theta], max_iter=50)

        def closure(tau: float = tau, theta: Tensor = theta, opt: torch.optim.LBFGS = optimiser):
            opt.zero_grad()
            z = torch.stack([torch.zeros_like(x), theta[0] * x + theta[1]], dim=1)
            loss = logit_adjusted_ce(z, y, PRIOR, tau)
            loss.backward()
            return loss

        optimiser.step(closure)
        shifts[tau] = float(-theta.detach()[1] / theta.detach()[0])
    assert shifts[0.0] == pytest.approx(math.log(19) / 2, abs=0.1)
    assert shifts[1.0] == pytest.approx(0.0, abs=0.1)


def test_lambdas_switch_terms_off() -> None:
    z = torch.randn(6, 2, generator=torch.Generator().manual_seed(3))
    y, w = torch.tensor([0, 0, 0, 0, 1, 1]), class_weights([4, 2], 1.0)
    terms = [
        weighted_ce(z, y, w),
        auc_square(z.softmax(-1)[:, 1], y),
        logit_adjusted_ce(z, y, PRIOR),
    ]
    for k, term in enumerate(terms):
        lam = tuple(2.0 if i == k else 0.0 for i in range(3))
        assert float(uemcm_loss(z, y, w, PRIOR, lam)) == pytest.approx(2 * float(term))  # type: ignore[arg-type]
    assert float(uemcm_loss(z, y, w, PRIOR)) == pytest.approx(sum(map(float, terms)))


def test_each_branch_gets_its_own_share_of_the_loss() -> None:
    z_s = torch.randn(4, 2, generator=torch.Generator().manual_seed(4)).requires_grad_()
    z_l = torch.randn(4, 2, generator=torch.Generator().manual_seed(5))
    y = torch.tensor([0, 1, 0, 1])
    fused = z_l.clone()  # a gate that ignores the small branch
    total_loss(fused, [z_s, z_l], y, torch.ones(2), PRIOR).backward()
    assert z_s.grad is not None
    assert float(z_s.grad.abs().sum()) > 0
