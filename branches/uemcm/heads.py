"""The trained parts: context branch, large head and adaptive gate (UE-MCM, arXiv 2606.02120).

Everything works on cached vectors; masks are True where a frame is real.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from egomon.branches.bundle.card import SmallCard
from egomon.branches.uemcm.clip4clip import TemporalHeader


class SmallOutput(NamedTuple):
    """Outputs of the context branch for a batch."""

    logits: Tensor
    """(B, 2): correct, mistake."""
    feature: Tensor
    """(B, width): h_s."""
    step: Tensor | None
    """(B, K) logits of the step in the fine clip; None without step names."""
    done: Tensor | None
    """(B, K) logits of the steps already done in the context (multi-label)."""
    workflow: Tensor | None
    """(B, W) logits of the workflow; None without workflow names."""


def mlp(inputs: int, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
    """Linear, GELU, dropout, linear."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, outputs)
    )


class ContextBranch(nn.Module):
    """h_s = psi_s([h_c; h_f; h_c * h_f]), z_s = g_s(h_s) (paper, small-branch equations).

    One temporal header is shared by the coarse and the fine clip. Each of the three blocks has
    a LayerNorm of its own: one over the concatenation would leave the product block, whose
    entries are sqrt(D) smaller, without influence.

    The optional auxiliary heads share one matrix: W h_f names the step in the clip and W h_c
    the steps done before it, so that the product block can line up the two.
    """

    def __init__(self, dim: int, card: SmallCard, dropout: float = 0.1) -> None:
        super().__init__()
        self.card = card
        self.header = TemporalHeader(dim, card)
        inner = self.header.dim
        self.norm_context = nn.LayerNorm(inner)
        self.norm_fine = nn.LayerNorm(inner)
        self.norm_product = nn.LayerNorm(inner)
        blocks = 3 if card.context else 1
        self.psi = nn.Sequential(
            mlp(blocks * inner, card.width, card.width, dropout), nn.LayerNorm(card.width)
        )
        self.g = mlp(card.width, max(2, card.width // 2), 2, dropout)
        self.step = nn.Linear(inner, len(card.steps)) if card.steps else None
        self.workflow = nn.Linear(inner, len(card.workflows)) if card.workflows else None

    def forward(
        self, coarse: Tensor, coarse_mask: Tensor, fine: Tensor, fine_mask: Tensor
    ) -> SmallOutput:
        """Score a batch.

        Args:
            coarse: (B, N, D) context vectors, zero where masked; N may be 0.
            coarse_mask: (B, N) bool.
            fine: (B, T, D) segment vectors.
            fine_mask: (B, T) bool.
        """
        h_f = self.header(fine, fine_mask)
        fine_normed = self.norm_fine(h_f)
        if self.card.context:
            h_c = self.header(coarse, coarse_mask)
            blocks = torch.cat(
                [self.norm_context(h_c), fine_normed, self.norm_product(h_c * h_f)], dim=-1
            )
        else:
            h_c, blocks = None, fine_normed
        feature = self.psi(blocks)
        return SmallOutput(
            logits=self.g(feature),
            feature=feature,
            step=None if self.step is None else self.step(h_f),
            done=None if self.step is None or h_c is None else self.step(h_c),
            workflow=None if self.workflow is None or h_c is None else self.workflow(h_c),
        )


class LargeHead(nn.Module):
    """z_l = g_l(h_l) on the frozen embedding h_l (paper, large-branch equations)."""

    def __init__(self, dim: int, width: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.g = mlp(dim, width, 2, dropout)

    def forward(self, h_l: Tensor) -> Tensor:
        """(B, dim) to logits (B, 2)."""
        logits: Tensor = self.g(self.norm(h_l))
        return logits
