"""The gate that weighs the two branches (paper, gate equations)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from egomon.branches.bundle.card import BundleCard, GateCard
from egomon.branches.bundle.locate import WEIGHTS_FILE
from egomon.branches.bundle.weights import Tensors, fill
from egomon.branches.interfaces import BranchScore, Float32, Gate
from egomon.branches.load_bundle import Bundle, about
from egomon.errors import BundleError


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


def load_gate(bundle: Bundle) -> Gate | None:
    """The bundle's gate; None if it has none.

    Raises:
        BundleError: naming the file, if its tensors do not fit the card.
    """
    if bundle.card.gate is None:
        return None
    with about(bundle.folder / WEIGHTS_FILE):
        return UemcmGate.load(bundle.card, bundle.gate_tensors)


def _row(array: Float32) -> Tensor:
    return torch.from_numpy(np.array(array, np.float32)).unsqueeze(0)
