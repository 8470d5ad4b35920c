"""The gate as it is trained; `fusion.gate.UemcmGate` computes the same from its weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from egomon.branches.bundle.card import GateCard


class AdaptiveGate(nn.Module):
    """[a_s, a_l] = softmax(W_g[P_s h_s; P_l h_l; P_s h_s * P_l h_l] + b_g), z = a_s z_s + a_l z_l.

    Zero-initialised: training starts from the plain mean of the two branches. With
    `kind = "mean"` it stays there.
    """

    def __init__(self, small_width: int, large_dim: int, card: GateCard) -> None:
        super().__init__()
        self.card = card
        self.p_s = nn.Linear(small_width, card.width)
        self.p_l = nn.Linear(large_dim, card.width)
        self.norm = nn.LayerNorm(card.width)
        self.gate = nn.Linear(3 * card.width, 2)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def forward(self, h_s: Tensor, h_l: Tensor, z_s: Tensor, z_l: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, ·) and logits (B, 2) of both to fused logits (B, 2) and weights (B, 2)."""
        if self.card.kind == "mean":
            alpha = z_s.new_full((len(z_s), 2), 0.5)
        else:
            a, b = self.p_s(h_s), self.p_l(h_l)
            alpha = self.gate(torch.cat([a, b, self.norm(a * b)], dim=-1)).softmax(dim=-1)
        return alpha[:, :1] * z_s + alpha[:, 1:] * z_l, alpha
