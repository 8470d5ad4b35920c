"""Both branches and the gate in one module, for training on cached vectors (paper, section 3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from egomon.branches.bundle.card import GateCard, SmallCard
from egomon.branches.uemcm.heads import ContextBranch, LargeHead, SmallOutput
from egomon.train.fitting.heads.adaptive_gate import AdaptiveGate
from egomon.train.fitting.recipe import Recipe

Clips = tuple[Tensor, Tensor, Tensor, Tensor]
"""Coarse, its mask, fine, its mask; as `ContextBranch` takes them."""


class Output(NamedTuple):
    """Outputs of both branches for a batch."""

    logits: Tensor
    """(B, 2): of the gate, or of the small branch where it is alone."""
    parts: tuple[Tensor, ...]
    """z_s and z_l where there is a gate, each (B, 2); they have losses of their own."""
    small: SmallOutput


class UemcmModel(nn.Module):
    """Names of its state are those of a bundle: `small.`, `large_head.`, `gate.`.

    In training a share `branch_dropout` of the samples has one branch only: a gate that always
    has both may come to rely on one of them.
    """

    def __init__(self, dim: int, large_dim: int, card: SmallCard, recipe: Recipe) -> None:
        super().__init__()
        self.branch_dropout = recipe.branch_dropout
        self.small = ContextBranch(dim, card, recipe.dropout)
        self.large_head: LargeHead | None = None
        self.gate: AdaptiveGate | None = None
        if large_dim:
            self.large_head = LargeHead(large_dim, recipe.large_width, recipe.dropout)
            self.gate = AdaptiveGate(card.width, large_dim, gate_card(recipe))

    def forward(self, clips: Clips, h_l: Tensor | None) -> Output:
        """Score a batch; h_l is (B, D_l)."""
        small = self.small(*clips)
        if self.large_head is None or self.gate is None or h_l is None:
            return Output(small.logits, (), small)
        z_s, z_l = small.logits, self.large_head(h_l)
        z, _ = self.gate(small.feature, h_l, z_s, z_l)
        if self.training and self.branch_dropout:
            draw = torch.rand(len(z), 1)
            z = torch.where(draw < self.branch_dropout, z_s, z)
            z = torch.where(draw < self.branch_dropout / 2, z_l, z)
        return Output(z, (z_s, z_l), small)


def gate_card(recipe: Recipe) -> GateCard:
    """Build the card of the recipe's gate."""
    return GateCard(kind=recipe.gate, width=recipe.gate_width)
