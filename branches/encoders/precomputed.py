"""Stands for the tower of vectors that came precomputed with a data set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.branches.interfaces import Float32
from egomon.errors import UsageError
from egomon.stream.frame import UInt8Image


class PrecomputedEncoder:
    """Stands for vectors that came precomputed with a data set: dimensions only, no live use."""

    def __init__(self, card: FrameEncoderCard) -> None:
        self.card = card

    @property
    def dim(self) -> int:
        """Length D of a vector."""
        return self.card.dim

    @property
    def image_px(self) -> int:
        """Nominal side in pixels."""
        return self.card.image_px

    def prepare(self, rgb: UInt8Image) -> UInt8Image:
        """Refused: there is no tower."""
        raise self._refusal()

    def encode(self, images: NDArray[np.uint8]) -> Float32:
        """Refused: there is no tower."""
        raise self._refusal()

    def _refusal(self) -> UsageError:
        return UsageError(
            f"this model was trained on precomputed {self.card.architecture} vectors and has no "
            "image encoder, so it cannot watch video; use it with `egomon evaluate`, or train one "
            "with an image encoder"
        )
