"""Low-rank adapters for the linear layers of a frozen module (Hu et al. 2021, arXiv 2106.09685)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

RANK = 16
ALPHA = 16.0
DROPOUT = 0.1


class LoraLinear(nn.Module):
    """W x + b + alpha / r * B A dropout(x); B starts at zero, so nothing changes at first.

    The bias is trained too ("bias: lora_only").
    """

    def __init__(
        self, inner: nn.Linear, rank: int = RANK, alpha: float = ALPHA, dropout: float = DROPOUT
    ) -> None:
        super().__init__()
        self.inner = inner
        self.scale = alpha / rank
        self.down = nn.Parameter(torch.empty(rank, inner.in_features))
        self.up = nn.Parameter(torch.zeros(inner.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        through: Tensor = self.dropout(x) @ self.down.T @ self.up.T
        plain: Tensor = self.inner(x)
        return plain + self.scale * through

    def merged(self) -> nn.Linear:
        """The plain layer that computes the same in eval mode."""
        with torch.no_grad():
            self.inner.weight += self.scale * self.up @ self.down
        return self.inner


def add_lora(module: nn.Module, **shape: float) -> list[nn.Parameter]:
    """Wrap every linear layer in place, freeze the rest; return the parameters to train."""
    module.requires_grad_(False)
    for parent, name, layer in list(_linears(module)):
        setattr(parent, name, LoraLinear(layer, **shape))  # type: ignore[arg-type]
    trained: list[nn.Parameter] = []
    for part in module.modules():
        if isinstance(part, LoraLinear):
            trained += [part.down, part.up]
            bias: nn.Parameter | None = part.inner.bias
            if bias is not None:
                bias.requires_grad_(True)
                trained.append(bias)
    return trained


def merge_lora(module: nn.Module) -> None:
    """Put the adapters into the weights; names are as before `add_lora`."""
    for parent in list(module.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, LoraLinear):
                setattr(parent, name, layer.merged())


def _linears(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    for parent in module.modules():
        for name, layer in parent.named_children():
            if isinstance(layer, nn.Linear):
                yield parent, name, layer
