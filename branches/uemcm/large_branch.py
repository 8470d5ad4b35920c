"""The large branch: scores a segment by its pixels alone, z_l = g_l(h_l), h_l = phi_l(V^f)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from egomon.branches.bundle.card import BundleCard, LargeEncoderCard
from egomon.branches.bundle.card_check import visual_tokens
from egomon.branches.bundle.weights import Tensors, fill
from egomon.branches.interfaces import BranchScore
from egomon.branches.uemcm.heads import LargeHead
from egomon.branches.uemcm.qwen3_vl import Qwen3VLEmbedder
from egomon.errors import BundleError
from egomon.stream.frame import Segment


class Qwen3VLBranch:
    """A frozen Qwen3-VL-Embedding model and the trained head on it."""

    def __init__(
        self,
        embedder: Qwen3VLEmbedder,
        head: LargeHead,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.embedder = embedder
        self.head = head.eval()
        self._clock = clock

    @classmethod
    def load(
        cls,
        card: BundleCard,
        head: Tensors,
        folder: Path,
        *,
        device: str = "auto",
        dtype: str = "auto",
    ) -> Qwen3VLBranch:
        """From a card and the bundle's tensors under `large_head.`, prefix removed.

        Raises:
            BundleError: if the weights cannot be had or do not fit the card.
        """
        large = card.large
        if large is None:
            raise BundleError(f"the bundle {card.name} has no large branch (field `large`)")
        # The head first: it is small and tells at once whether the files belong together.
        module = fill(lambda: LargeHead(large.dim, card.large_width), head, "large head")
        return cls(Qwen3VLEmbedder.load(large, folder, device=device, dtype=dtype), module)

    @staticmethod
    def visual_tokens(card: LargeEncoderCard) -> int:
        """Visual tokens of one clip: (T / 2) (px / 32)^2."""
        return visual_tokens(card)

    @torch.inference_mode()
    def score(self, segment: Segment) -> BranchScore:
        """Score one segment by its frames' `detail`, or `image` where there is none.

        Raises:
            ValueError: if the segment holds no frames.
            BundleError: if the embedding is not finite.
        """
        started = self._clock()
        if not segment.frames:
            raise ValueError(f"segment {segment.index} holds no frames, only their times")
        clip = [f.image if f.detail is None else f.detail for f in segment.frames]
        times = [f.t_seconds - segment.t_start for f in segment.frames]
        feature = self.embedder.embed([clip], [times])
        logits = self.head(torch.from_numpy(feature))
        return BranchScore(
            branch="large",
            logits=logits[0].numpy(),
            feature=feature[0],
            latency_ms=(self._clock() - started) * 1000,
        )
