"""The activity model as it is trained; `ActivityClassifier` computes the same from its weights."""

from __future__ import annotations

from torch import Tensor, nn


class ActivityModule(nn.Module):
    """LayerNorm, linear, GELU, linear to one logit a frame."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, width), nn.GELU(), nn.Linear(width, 1)
        )

    def forward(self, vectors: Tensor) -> Tensor:
        """(..., D) to logits (...): positive where hands are at work."""
        logits: Tensor = self.net(vectors).squeeze(-1)
        return logits
