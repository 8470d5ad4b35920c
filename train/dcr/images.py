"""Batches of images in two views, for CLIP and for the diffusion model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from egomon.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
# OpenAI CLIP's own, of the pictures that it was trained on.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One crop of each image, and another view of that crop."""

    clip: Tensor
    """(B, 3, S, S) normalised for CLIP."""
    clip_plus: Tensor
    """(B, 3, S, S) of the other view."""
    diffusion: Tensor
    """(B, 3, S, S) in [-1, 1]."""


class ImageFolder:
    """Random batches of a folder's images, captions not needed.

    The views follow the published setting (crop of 90 % or more; colour jitter, flips and a crop
    again), but colours are jittered before normalisation, where the jitter is defined.
    """

    def __init__(self, folder: Path, image_px: int, seed: int = 0) -> None:
        from torchvision.transforms import v2

        self.paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
        if len(self.paths) < 2:
            raise DataError(
                f"{folder} holds {len(self.paths)} images ({', '.join(SUFFIXES)}); the loss "
                "compares images, so it needs two and more"
            )
        bicubic = v2.InterpolationMode.BICUBIC
        self._crop = v2.RandomResizedCrop(image_px, scale=(0.9, 1.0), interpolation=bicubic)
        self._other = v2.Compose(
            [
                v2.ColorJitter(0.1, 0.1, 0.1, 0.05),
                v2.RandomHorizontalFlip(),
                v2.RandomVerticalFlip(),
                v2.RandomResizedCrop(image_px, scale=(0.9, 1.0), ratio=(0.9, 1.1)),
            ]
        )
        self._generator = np.random.default_rng(seed)

    def batch(self, size: int) -> Batch:
        """Draw `size` different images, fewer where there are fewer.

        Raises:
            DataError: an image cannot be read.
        """
        size = min(size, len(self.paths))
        drawn = self._generator.choice(len(self.paths), size, replace=False)
        crops = [self._crop(_read(self.paths[k])) for k in drawn.tolist()]
        others = [self._other(crop).clamp(0, 1) for crop in crops]
        images = torch.stack(crops).clamp(0, 1)
        return Batch(_normalised(images), _normalised(torch.stack(others)), images * 2 - 1)


def _read(path: Path) -> Tensor:
    from PIL import Image

    try:
        with Image.open(path) as image:
            array = np.array(image.convert("RGB"))
    except OSError as error:
        raise DataError(f"{path} cannot be read as an image ({error})") from error
    return torch.from_numpy(array).permute(2, 0, 1).float() / 255


def _normalised(images: Tensor) -> Tensor:
    return (images - _column(MEAN)) / _column(STD)


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values).reshape(3, 1, 1)
