"""Activity model: probability that hands are at work in a frame, for activity boundaries."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from egomon.branches.bundle.card import BundleCard
from egomon.branches.bundle.weights import Tensors, fill
from egomon.branches.interfaces import Float32


class ActivityModule(nn.Module):
    """LayerNorm, linear, GELU, linear to one logit a frame.

    Each frame is scored alone, so the result does not depend on how a stream was cut into
    batches; smoothing over time is the segmenter's hold time.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, width), nn.GELU(), nn.Linear(width, 1)
        )

    def forward(self, vectors: Tensor) -> Tensor:
        """(..., D) to logits (...): positive where hands are at work."""
        logits: Tensor = self.net(vectors).squeeze(-1)
        return logits


class ActivityClassifier:
    """`ActivityModel` over an `ActivityModule`."""

    def __init__(self, module: ActivityModule) -> None:
        self.module = module.eval()

    @classmethod
    def load(cls, card: BundleCard, tensors: Tensors) -> ActivityClassifier:
        """From the bundle's tensors under `activity.`, prefix removed.

        Raises:
            BundleError: if they do not fit the card.
        """
        dim, width = card.frame_encoder.dim, card.activity_width
        return cls(fill(lambda: ActivityModule(dim, width), tensors, "activity model"))

    @torch.inference_mode()
    def probability(self, vectors: Float32) -> Float32:
        """(T, D) frame vectors to (T,) probabilities."""
        logits = self.module(torch.from_numpy(np.array(vectors, np.float32)))
        result: Float32 = logits.sigmoid().numpy()
        return result
