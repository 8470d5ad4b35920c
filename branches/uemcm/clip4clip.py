"""CLIP4Clip's temporal headers over cached vectors (arXiv 2104.08860): meanP and seqTransf."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from egomon.branches.bundle.card import SmallCard

MAX_POSITIONS = 77
"""Size of CLIP's text positions, which seqTransf starts from."""


def masked_mean(vectors: Tensor, mask: Tensor) -> Tensor:
    """Mean over real frames, (B, N, D) and (B, N) to (B, D); zero where no frame is real."""
    weights = mask.to(vectors.dtype).unsqueeze(-1)
    return (vectors * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1)


class TemporalHeader(nn.Module):
    """phi_s: the frames of one clip to one vector.

    meanP: unit vectors, masked mean, unit again (frozen; blind to order). seqTransf: an optional
    projection, positions, a pre-norm transformer with a residual around it, then the same mean.
    """

    def __init__(self, dim: int, card: SmallCard, dropout: float = 0.1) -> None:
        super().__init__()
        self.kind = card.header
        self.dim = card.header_width or dim
        if card.header == "meanP":
            if self.dim != dim:
                raise ValueError("meanP has no projection: header_width must be 0")
            return
        self.scale = dim**0.5
        self.project = nn.Linear(dim, self.dim) if self.dim != dim else nn.Identity()
        self.positions = nn.Parameter(torch.empty(MAX_POSITIONS, self.dim))
        if not self.positions.is_meta:  # there, torch would import its compiler: 2 s for nothing
            nn.init.normal_(self.positions, std=0.02)
        self.heads = card.header_heads or max(1, self.dim // 64)
        layer = nn.TransformerEncoderLayer(
            self.dim,
            self.heads,
            2 * self.dim,
            dropout=dropout,
            activation="gelu",
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
        unit = F.normalize(vectors, dim=-1)
        if self.kind == "meanP":
            return F.normalize(masked_mean(unit, mask), dim=-1)
        x = self.project(unit * self.scale)
        x = x + self._attend(x + self.positions[: x.shape[1]], mask)
        return masked_mean(x, mask)

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
