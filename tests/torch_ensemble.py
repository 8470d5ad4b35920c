"""The ensemble of context branches in torch: a second implementation, for tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from egomon.branches.bundle.card import SmallCard
from egomon.branches.uemcm.heads import ContextBranch, SmallOutput


class Ensemble(nn.Module):
    """Context branches of different seeds, whose outputs are averaged."""

    def __init__(self, members: Iterable[ContextBranch]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(
        self, coarse: Tensor, coarse_mask: Tensor, fine: Tensor, fine_mask: Tensor
    ) -> SmallOutput:
        """As `ContextBranch`."""
        outputs = [member(coarse, coarse_mask, fine, fine_mask) for member in self.members]
        return SmallOutput(*(_mean(values) for values in zip(*outputs, strict=True)))


def build_small(dim: int, card: SmallCard, dropout: float = 0.1) -> ContextBranch | Ensemble:
    """Build the small branch's module from its card."""
    if card.members == 1:
        return ContextBranch(dim, card, dropout)
    return Ensemble(ContextBranch(dim, card, dropout) for _ in range(card.members))


def _mean(values: Sequence[Tensor | None]) -> Any:
    return None if values[0] is None else torch.stack([v for v in values if v is not None]).mean(0)
