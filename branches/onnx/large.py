"""The large branch's embedding model in ONNX Runtime: frames of one segment to one unit vector."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from egomon.branches.bundle.card import LargeEncoderCard, OnnxFileCard
from egomon.branches.interfaces import Float32
from egomon.branches.onnx.session import OnnxNetwork
from egomon.branches.onnx.tokens import TOKENS, WEIGHTS, TokenTable
from egomon.branches.uemcm.clip_frames import resampled_clip
from egomon.errors import BundleError
from egomon.stream.frame import UInt8Image


class OnnxEmbedder:
    """phi_l over an ONNX file that `egomon.branches.export` wrote.

    Args:
        path: the file.
        pin: its entry in the card.
        card: the large branch's.
        engine: see `OnnxNetwork.use`.
        threads: see `OnnxNetwork`.

    Raises:
        BundleError: the file is not the one pinned, or was made from another model.
    """

    def __init__(
        self,
        path: Path,
        pin: OnnxFileCard,
        card: LargeEncoderCard,
        *,
        engine: str = "onnx",
        threads: int = 1,
    ) -> None:
        self.card = card
        shape = (card.frames, card.frame_px, card.frame_px, 3)
        network = OnnxNetwork(
            path,
            pin,
            inputs={"frames": shape, "ids": (None,), "positions": (3, None)},
            outputs={"vectors": (1, card.dim)},
            threads=threads,
        )
        found = network.metadata.get(WEIGHTS, "")
        if card.weights_sha256 not in (None, found):
            raise BundleError(
                f"{path} was made from the model {found[:12]}..., but the card asks for "
                f"{(card.weights_sha256 or '')[:12]}...; export the bundle again"
            )
        try:
            self._table = msgspec.json.decode(network.metadata.get(TOKENS, ""), type=TokenTable)
        except msgspec.DecodeError as error:
            raise BundleError(f"{path} has no table of tokens: {error}") from error
        network.use(engine, self._probe)
        self._network = network
        self.backend = network.backend

    def _probe(self) -> dict[str, NDArray[Any]]:
        """Made-up inputs, to try an engine on."""
        card = self.card
        shape = (card.frames, card.frame_px, card.frame_px, 3)
        noise = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
        ids, positions = self._table.inputs(np.linspace(0, 2, card.frames).tolist())
        return {"frames": noise, "ids": ids, "positions": positions}

    def embed(
        self, clips: Sequence[Sequence[UInt8Image]], times: Sequence[Sequence[float]]
    ) -> Float32:
        """As `Qwen3VLEmbedder.embed`; clips are computed one by one.

        Raises:
            ValueError: if a clip is empty or has another number of times.
            BundleError: if a vector is not finite.
        """
        rows = [np.empty((0, self.card.dim), np.float32)]
        for clip, stamps in zip(clips, times, strict=True):
            frames, seconds = resampled_clip(clip, stamps, self.card)
            ids, positions = self._table.inputs(seconds)
            rows += self._network.run(frames=frames, ids=ids, positions=positions)
        vectors = np.concatenate(rows)
        if not np.isfinite(vectors).all():
            raise BundleError(
                f"{self.card.weights} gave a vector that is not finite; use --engine torch"
            )
        return vectors
