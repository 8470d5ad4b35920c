"""The gate over two branch scores, numpy in and out."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from egomon.branches.base import BranchScore, Float32
from egomon.branches.card import BundleCard
from egomon.branches.heads import AdaptiveGate
from egomon.branches.weights import Tensors, fill
from egomon.errors import BundleError


class UemcmGate:
    """z = a_s z_s + a_l z_l with learned (or equal) weights for one segment."""

    def __init__(self, module: AdaptiveGate) -> None:
        self.module = module.eval()

    @classmethod
    def load(cls, card: BundleCard, tensors: Tensors) -> UemcmGate:
        """From the bundle's tensors under `gate.`, prefix removed.

        Raises:
            BundleError: if they do not fit the card.
        """
        gate, large = card.gate, card.large
        if gate is None or large is None:
            raise BundleError("a gate needs the fields `gate` and `large` in the card")
        return cls(fill(lambda: AdaptiveGate(card.small.width, large.dim, gate), tensors, "gate"))

    @torch.inference_mode()
    def fuse(self, small: BranchScore, large: BranchScore) -> tuple[Float32, Float32]:
        """Give the fused logits (2,) and the weights (2,): small, large; the weights sum to 1."""
        logits, weights = self.module(
            _row(small.feature), _row(large.feature), _row(small.logits), _row(large.logits)
        )
        return logits[0].numpy(), weights[0].numpy()


def _row(array: Float32) -> Tensor:
    return torch.from_numpy(np.array(array, np.float32)).unsqueeze(0)
