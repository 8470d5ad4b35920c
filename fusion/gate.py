"""The gate that weighs the two branches (paper, gate equations)."""

from __future__ import annotations

import numpy as np

from egomon.branches.bundle.card import BundleCard
from egomon.branches.bundle.locate import WEIGHTS_FILE
from egomon.branches.bundle.weights import Tensors, as_float32
from egomon.branches.interfaces import BranchScore, Float32, Gate
from egomon.branches.layers import layer_norm, linear, softmax
from egomon.branches.load_bundle import Bundle, about
from egomon.errors import BundleError


class UemcmGate:
    """z = a_s z_s + a_l z_l with learned (or equal) weights for one segment.

    [a_s, a_l] = softmax(W_g[P_s h_s; P_l h_l; LN(P_s h_s * P_l h_l)] + b_g); 1/2 each where the
    card's kind is `mean`. `train.fitting.adaptive_gate` trains it.
    """

    def __init__(self, weights: Tensors, *, mean: bool = False) -> None:
        self._weights = weights
        self._mean = mean

    @classmethod
    def load(cls, card: BundleCard, tensors: Tensors) -> UemcmGate:
        """From the bundle's tensors under `gate.`, prefix removed.

        Raises:
            BundleError: if they do not fit the card.
        """
        gate, large = card.gate, card.large
        if gate is None or large is None:
            raise BundleError("a gate needs the fields `gate` and `large` in the card")
        shapes = {
            "p_s.weight": (gate.width, card.small.width),
            "p_s.bias": (gate.width,),
            "p_l.weight": (gate.width, large.dim),
            "p_l.bias": (gate.width,),
            "norm.weight": (gate.width,),
            "norm.bias": (gate.width,),
            "gate.weight": (2, 3 * gate.width),
            "gate.bias": (2,),
        }
        return cls(as_float32(shapes, tensors, "gate"), mean=gate.kind == "mean")

    def fuse(self, small: BranchScore, large: BranchScore) -> tuple[Float32, Float32]:
        """Give the fused logits (2,) and the weights (2,): small, large; the weights sum to 1."""
        alpha = self._alpha(small.feature, large.feature)
        logits: Float32 = alpha[0] * small.logits + alpha[1] * large.logits
        return logits, alpha

    def _alpha(self, h_s: Float32, h_l: Float32) -> Float32:
        if self._mean:
            return np.full(2, 0.5, np.float32)
        weights = self._weights
        a, b = linear(weights, "p_s", h_s), linear(weights, "p_l", h_l)
        joined = np.concatenate([a, b, layer_norm(weights, "norm", a * b)])
        return softmax(linear(weights, "gate", joined))


def load_gate(bundle: Bundle) -> Gate | None:
    """The bundle's gate; None if it has none.

    Raises:
        BundleError: naming the file, if its tensors do not fit the card.
    """
    if bundle.card.gate is None:
        return None
    with about(bundle.folder / WEIGHTS_FILE):
        return UemcmGate.load(bundle.card, bundle.gate_tensors)
