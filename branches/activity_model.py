"""Activity model: probability that hands are at work in a frame, for activity boundaries."""

from __future__ import annotations

from egomon.branches.bundle.card import BundleCard
from egomon.branches.bundle.weights import Tensors, as_float32
from egomon.branches.interfaces import Float32
from egomon.branches.layers import gelu, layer_norm, linear, sigmoid


class ActivityClassifier:
    """`ActivityModel`: LayerNorm, linear, GELU, linear to one logit a frame.

    Each frame is scored alone, so the result does not depend on how a stream was cut into
    batches; smoothing over time is the segmenter's hold time.
    """

    def __init__(self, weights: Tensors) -> None:
        self._weights = weights

    @classmethod
    def load(cls, card: BundleCard, tensors: Tensors) -> ActivityClassifier:
        """From the bundle's tensors under `activity.`, prefix removed.

        Raises:
            BundleError: if they do not fit the card.
        """
        dim, width = card.frame_encoder.dim, card.activity_width
        shapes = {
            "net.0.weight": (dim,),
            "net.0.bias": (dim,),
            "net.1.weight": (width, dim),
            "net.1.bias": (width,),
            "net.3.weight": (1, width),
            "net.3.bias": (1,),
        }
        return cls(as_float32(shapes, tensors, "activity model"))

    def probability(self, vectors: Float32) -> Float32:
        """(T, D) frame vectors to (T,) probabilities."""
        weights = self._weights
        hidden = gelu(linear(weights, "net.1", layer_norm(weights, "net.0", vectors)))
        return sigmoid(linear(weights, "net.3", hidden))[:, 0]
