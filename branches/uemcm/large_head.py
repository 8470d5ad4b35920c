"""The large head in NumPy: z_l = g_l(h_l) (paper, large-branch equations)."""

from __future__ import annotations

from egomon.branches.bundle.card import BundleCard
from egomon.branches.bundle.weights import Tensors, as_float32
from egomon.branches.interfaces import Float32
from egomon.branches.layers import gelu, layer_norm, linear
from egomon.errors import BundleError


class LargeClassifier:
    """What `heads.LargeHead` trains, for inference: LayerNorm, linear, GELU, linear."""

    def __init__(self, weights: Tensors) -> None:
        self._weights = weights

    @classmethod
    def load(cls, card: BundleCard, tensors: Tensors) -> LargeClassifier:
        """From the bundle's tensors under `large_head.`, prefix removed.

        Raises:
            BundleError: if they do not fit the card, or it has no large branch.
        """
        large, width = card.large, card.large_width
        if large is None:
            raise BundleError(f"the bundle {card.name} has no large branch (field `large`)")
        shapes = {
            "norm.weight": (large.dim,),
            "norm.bias": (large.dim,),
            "g.0.weight": (width, large.dim),
            "g.0.bias": (width,),
            "g.3.weight": (2, width),
            "g.3.bias": (2,),
        }
        return cls(as_float32(shapes, tensors, "large head"))

    def logits(self, vectors: Float32) -> Float32:
        """Embeddings h_l (B, dim) to logits (B, 2): correct, mistake."""
        weights = self._weights
        hidden = gelu(linear(weights, "g.0", layer_norm(weights, "norm", vectors)))
        return linear(weights, "g.3", hidden)
