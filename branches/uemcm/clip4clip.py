"""CLIP4Clip's temporal headers over cached vectors (arXiv 2104.08860): meanP and seqTransf.

`seqTransf-light` is smaller and of egomon's own making.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from egomon.branches.bundle.card import SmallCard
from egomon.branches.bundle.card_check import MAX_POSITIONS


def masked_mean(vectors: Tensor, mask: Tensor) -> Tensor:
    """Mean over real frames, (B, N, D) and (B, N) to (B, D); zero where no frame is real."""
    weights = mask.to(vectors.dtype).unsqueeze(-1)
    return (vectors * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1)


def quick_gelu(x: Tensor) -> Tensor:
    """X sigmoid(1.702 x), the activation of OpenAI's CLIP."""
    return x * torch.sigmoid(1.702 * x)


class TemporalHeader(nn.Module):
    """phi_s: the frames of one clip to one vector.

    meanP: unit vectors, masked mean, unit again (frozen; blind to order).

    seqTransf: vectors as the encoder gives them, positions, CLIP's text transformer (pre-norm,
    feed-forward four times as wide, QuickGELU, no dropout) with a residual around it, then as
    meanP. `egomon.train.fitting.heads.header_start` gives it CLIP's or CLIP4Clip's weights.

    seqTransf-light: unit vectors times sqrt(D), an optional projection, positions, a transformer
    half as wide (GELU, dropout) with a residual around it, and a plain masked mean.
    """

    def __init__(self, dim: int, card: SmallCard, dropout: float = 0.1) -> None:
        super().__init__()
        self.kind = card.header
        self.dim = card.header_width or dim
        if card.header == "meanP":
            if self.dim != dim:
                raise ValueError("meanP has no projection: header_width must be 0")
            return
        light = card.header == "seqTransf-light"
        if self.dim != dim and not light:
            raise ValueError("seqTransf has no projection: header_width must be 0")
        self.scale = dim**0.5
        self.project = nn.Linear(dim, self.dim) if self.dim != dim else nn.Identity()
        self.positions = nn.Parameter(torch.empty(MAX_POSITIONS, self.dim))
        if not self.positions.is_meta:  # there, torch would import its compiler: 2 s for nothing
            nn.init.normal_(self.positions, std=0.02)
        self.heads = card.header_heads or max(1, self.dim // 64)
        layer = nn.TransformerEncoderLayer(
            self.dim,
            self.heads,
            (2 if light else 4) * self.dim,
            dropout=dropout if light else 0.0,
            activation=F.gelu if light else quick_gelu,
            layer_norm_eps=1e-5 if light else 1e-12,
            batch_first=True,
            norm_first=True,
        )
        self.transformer = nn.TransformerEncoder(
            layer, card.header_layers or 4, enable_nested_tensor=False
        )

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """(B, N, D) and (B, N) bool to (B, dim); an empty clip gives zeros."""
        if vectors.shape[1] == 0:
            return vectors.new_zeros(len(vectors), self.dim)
        if self.kind == "seqTransf-light":
            x = self.project(F.normalize(vectors, dim=-1) * self.scale)
            return masked_mean(self._in_order(x, mask), mask)
        x = vectors if self.kind == "meanP" else self._in_order(vectors, mask)
        return F.normalize(masked_mean(F.normalize(x, dim=-1), mask), dim=-1)

    def _in_order(self, x: Tensor, mask: Tensor) -> Tensor:
        return x + self._attend(x + self.positions[: x.shape[1]], mask)

    def _attend(self, x: Tensor, mask: Tensor) -> Tensor:
        # A row without any real frame would make the softmax NaN: let it look at its first
        # (zero) frame, the masked mean drops it again.
        keys = mask.clone()
        keys[:, 0] |= ~mask.any(dim=1)
        # As a sum over pairs, which says the same as `src_key_padding_mask`: to check that one,
        # torch imports sympy, half a second before the first score.
        batch, length = keys.shape
        hidden = x.new_zeros(keys.shape).masked_fill(~keys, float("-inf"))
        pairs = hidden.view(batch, 1, 1, length).expand(batch, self.heads, length, length)
        attended: Tensor = self.transformer(x, mask=pairs.reshape(-1, length, length))
        return attended
