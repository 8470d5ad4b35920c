"""A torch image tower as a frame encoder: uint8 frames in, float32 vectors out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.branches.encoders.cpu_batch import cpu_batch
from egomon.branches.encoders.preprocess import ImagePreparer
from egomon.branches.encoders.torch_setup import pick_device, pick_dtype
from egomon.branches.interfaces import Float32
from egomon.branches.torch_modules import state_sha256
from egomon.errors import BundleError
from egomon.stream.frame import UInt8Image

CUDA_BATCH = 64
"""Frames a call of the tower at most."""


@dataclass(frozen=True, slots=True)
class LoadedTower:
    """What a loader gives: the tower and what is known about it."""

    module: nn.Module
    """(B, 3, S, S) normalised float to (B, D)."""
    image_px: int | None = None
    """Input side that the architecture fixes; None if any will do."""
    first_conv: str | None = None
    """Name of the convolution that reads the image directly, for folding in mean and std."""
    own: Mapping[str, object] = field(default_factory=dict)
    """The tower's own `Preprocessing`, by field, in its library's words where egomon has none;
    what is not known is missing."""


class WholeTower(nn.Module):
    """uint8 frames to vectors: mean and std, where they are not folded in, and the tower.

    Args:
        tower: the image tower.
        card: whose mean and std are applied; None = they are folded into the tower.
        dtype: what the tower computes in.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, tower: nn.Module, card: FrameEncoderCard | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.tower = tower.to(dtype)
        self.dtype = dtype
        self.normalise = card is not None
        if card is not None:
            used = card.preprocessing
            for name, values in (("mean", used.mean), ("scale", used.std)):
                constant = torch.tensor(values).mul(255).view(1, 3, 1, 1)
                self.register_buffer(name, constant, persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """(B, S, S, 3) uint8 to (B, D)."""
        x = frames.permute(0, 3, 1, 2).float()
        if self.normalise:
            x = (x - self.mean) / self.scale
        out: Tensor = self.tower(x.to(self.dtype))
        return out


class TowerEncoder:
    """`FrameEncoder` over a torch module; the weights are frozen."""

    def __init__(
        self, card: FrameEncoderCard, tower: LoadedTower, *, device: str, dtype: str
    ) -> None:
        self.weights_sha256 = state_sha256(tower.module.state_dict())
        """Hash of the tower's weights, what a card's `weights_sha256` is compared with."""
        self.card = msgspec.structs.replace(card, weights_sha256=self.weights_sha256)
        """What made the vectors, weights and preprocessing included."""
        self._prepare = ImagePreparer.of(card)
        self._device, self._dtype = pick_device(device), pick_dtype(dtype)
        weight_bytes = 4 * sum(each.numel() for each in tower.module.parameters())
        few = cpu_batch(card.image_px, weight_bytes)
        self._batch = CUDA_BATCH if self._device.type == "cuda" else few
        module = tower.module.eval().requires_grad_(False)
        # Folded, large products cancel against the bias: only float32 has the digits for that,
        # and CUDA rounds the factors of float32 convolutions (TF32).
        exact = self._dtype == torch.float32 and self._device.type == "cpu"
        folded = exact and _fold(module, tower.first_conv, card)
        self.whole = WholeTower(module, None if folded else card, self._dtype).to(self._device)
        """The tower with what comes before it: (B, S, S, 3) uint8 to (B, D)."""
        self.backend = f"torch {str(self._dtype).removeprefix('torch.')} {self._device}"
        """What computes the vectors, for results."""

    @property
    def dim(self) -> int:
        """Length D of a vector."""
        return self.card.dim

    @property
    def image_px(self) -> int:
        """Side S of the square input in pixels."""
        return self.card.image_px

    def prepare(self, rgb: UInt8Image) -> UInt8Image:
        """Full-size RGB (H, W, 3) to (S, S, 3), as the tower was trained; thread-safe."""
        return self._prepare(rgb)

    @torch.inference_mode()
    def encode(self, images: NDArray[np.uint8]) -> Float32:
        """(B, S, S, 3) RGB uint8 to (B, D) float32, not normalised.

        Raises:
            ValueError: on another shape or type.
            BundleError: if the tower gives vectors of another length or NaN.
        """
        px = self.card.image_px
        if images.ndim != 4 or images.shape[1:] != (px, px, 3) or images.dtype != np.uint8:
            raise ValueError(
                f"expected (B, {px}, {px}, 3) uint8 RGB, got {images.shape} {images.dtype}"
            )
        vectors = np.empty((len(images), self.dim), np.float32)
        for start in range(0, len(images), self._batch):
            stop = start + self._batch
            out = self.whole(torch.from_numpy(np.array(images[start:stop])).to(self._device))
            if not isinstance(out, Tensor):
                raise BundleError(f"{self.card.architecture} gives no vectors; take another tower")
            if out.ndim != 2 or out.shape[1] != self.dim:
                raise BundleError(
                    f"field `frame_encoder.dim` is {self.dim}, but {self.card.architecture} "
                    f"gives vectors of shape {tuple(out.shape[1:])}; correct the card"
                )
            vectors[start:stop] = out.float().cpu().numpy()
        if not np.isfinite(vectors).all():
            raise BundleError(
                f"{self.card.architecture} gave a vector that is not finite; "
                "its weights are damaged, or use --dtype float32"
            )
        return vectors


def _fold(module: nn.Module, name: str | None, card: FrameEncoderCard) -> bool:
    """Put (x / 255 - mean) / std into the first convolution, where that is exact.

    With padding it is not: the zeros around the image stand for the mean colour.
    """
    if name is None:
        return False
    conv = module.get_submodule(name)
    if (
        not isinstance(conv, nn.Conv2d)
        or conv.padding not in (0, (0, 0), "valid")
        or conv.groups != 1
    ):
        return False
    weight = conv.weight.double()
    used = card.preprocessing
    std = torch.tensor(used.std, dtype=torch.float64).view(1, 3, 1, 1)
    mean = torch.tensor(used.mean, dtype=torch.float64).view(1, 3, 1, 1)
    shift = (weight * (mean / std)).sum(dim=(1, 2, 3))
    bias = -shift if conv.bias is None else conv.bias.double() - shift
    conv.weight = nn.Parameter((weight / (std * 255)).float(), requires_grad=False)
    conv.bias = nn.Parameter(bias.float(), requires_grad=False)
    return True


def seed_of(weights: str | None) -> int | None:
    """Seed of `random:SEED`, else None.

    Raises:
        BundleError: if what follows `random:` is no number.
    """
    if weights is None or not weights.startswith("random:"):
        return None
    seed = weights.removeprefix("random:")
    if not seed.isdecimal() or len(seed) > 9:
        raise BundleError(f"field `frame_encoder.weights` is {weights!r}; write random:SEED")
    return int(seed)
