"""A frame encoder in ONNX Runtime: uint8 frames in, float32 vectors out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from egomon.branches.bundle.card import FrameEncoderCard, OnnxFileCard
from egomon.branches.encoders.cpu_batch import cpu_batch
from egomon.branches.encoders.preprocess import ImagePreparer
from egomon.branches.interfaces import Float32
from egomon.branches.onnx.session import OnnxNetwork
from egomon.errors import BundleError
from egomon.stream.frame import UInt8Image

WEIGHTS_SHA256 = "egomon.weights_sha256"
"""Metadata: hash of the torch weights that a file was made from."""
_PROBES = 8


class OnnxEncoder:
    """`FrameEncoder` over an ONNX file that `egomon.branches.export` wrote.

    Args:
        path: the file.
        pin: its entry in the card.
        card: the encoder's.
        engine: see `OnnxNetwork.use`.
        threads: see `OnnxNetwork`.

    Raises:
        BundleError: the file is not the one pinned, does not fit the card, or was made from other
            weights than the card's.
    """

    def __init__(
        self,
        path: Path,
        pin: OnnxFileCard,
        card: FrameEncoderCard,
        *,
        engine: str = "onnx",
        threads: int = 1,
    ) -> None:
        px = card.image_px
        self._network = OnnxNetwork(
            path,
            pin,
            inputs={"images": (None, px, px, 3)},
            outputs={"vectors": (None, card.dim)},
            threads=threads,
        )
        self._network.use(engine, lambda: {"images": pictures(px)})
        self.weights_sha256 = self._network.metadata.get(WEIGHTS_SHA256, "")
        """Of the torch weights, what a card's `weights_sha256` is compared with."""
        if card.weights_sha256 not in (None, self.weights_sha256):
            raise BundleError(
                f"{path} was made from weights {self.weights_sha256[:12]}..., but the card asks "
                f"for {(card.weights_sha256 or '')[:12]}...; export the bundle again"
            )
        self.card = msgspec.structs.replace(card, weights_sha256=self.weights_sha256)
        self.dim, self.image_px = card.dim, px
        self._prepare = ImagePreparer.of(card)
        # Scales of dynamic int8 are taken over a whole batch: frame by frame, a vector does not
        # depend on what it was encoded with, and live equals replay.
        self._batch = 1 if pin.dtype == "int8" else cpu_batch(px, path.stat().st_size)
        self.backend = f"{self._network.backend} {pin.dtype} {pin.sha256[:8]}"
        """What computes the vectors; tells the forms of an encoder apart."""

    def prepare(self, rgb: UInt8Image) -> UInt8Image:
        """See `FrameEncoder`."""
        return self._prepare(rgb)

    def encode(self, images: NDArray[np.uint8]) -> Float32:
        """See `FrameEncoder`.

        Raises:
            ValueError: on another shape or type.
            BundleError: if a vector is not finite.
        """
        px = self.image_px
        if images.ndim != 4 or images.shape[1:] != (px, px, 3) or images.dtype != np.uint8:
            raise ValueError(
                f"expected (B, {px}, {px}, 3) uint8 RGB, got {images.shape} {images.dtype}"
            )
        rows = [self._network.run(images=part)[0] for part in self._batches(images)]
        vectors = np.concatenate([np.empty((0, self.dim), np.float32), *rows])
        if not np.isfinite(vectors).all():
            raise BundleError(
                f"{self.card.architecture} gave a vector that is not finite; "
                "its weights are damaged, or use --engine torch"
            )
        return vectors

    def _batches(self, images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
        for start in range(0, len(images), self._batch):
            yield images[start : start + self._batch]


def pictures(px: int) -> NDArray[np.uint8]:
    """Blocks of colour at several sizes, to compare encoders on: (8, px, px, 3)."""
    rng = np.random.default_rng(0)
    images = np.zeros((_PROBES, px, px, 3))
    for cell in (4, 16, 64):
        side = -(-px // cell)
        blocks = rng.uniform(0, 85, (_PROBES, side, side, 3))
        images += blocks.repeat(cell, axis=1).repeat(cell, axis=2)[:, :px, :px]
    return images.astype(np.uint8)
