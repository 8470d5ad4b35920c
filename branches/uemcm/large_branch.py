"""The large branch: scores a segment by its pixels alone, z_l = g_l(h_l), h_l = phi_l(V^f)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from egomon.branches.bundle.card import BundleCard, LargeEncoderCard
from egomon.branches.bundle.card_check import visual_tokens
from egomon.branches.bundle.weights import Tensors
from egomon.branches.interfaces import BranchScore
from egomon.branches.uemcm.clip_frames import clip_of
from egomon.branches.uemcm.large_head import LargeClassifier
from egomon.branches.uemcm.qwen3_vl import Qwen3VLEmbedder
from egomon.stream.frame import Segment


class Qwen3VLBranch:
    """A frozen Qwen3-VL-Embedding model and the trained head on it."""

    def __init__(
        self,
        embedder: Qwen3VLEmbedder,
        head: LargeClassifier,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.embedder = embedder
        self.head = head
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
        # The head first: it is small and tells at once whether the files belong together.
        classifier = LargeClassifier.load(card, head)
        assert card.large is not None  # or there would be no head
        return cls(Qwen3VLEmbedder.load(card.large, folder, device=device, dtype=dtype), classifier)

    @staticmethod
    def visual_tokens(card: LargeEncoderCard) -> int:
        """Visual tokens of one clip: (T / 2) (px / 32)^2."""
        return visual_tokens(card)

    def score(self, segment: Segment) -> BranchScore:
        """Score one segment by its frames' `detail`, or `image` where there is none.

        Raises:
            ValueError: if the segment holds no frames.
            BundleError: if the embedding is not finite.
        """
        started = self._clock()
        clip, times = clip_of(segment)
        feature = self.embedder.embed([clip], [times])
        logits = self.head.logits(feature)
        return BranchScore(
            branch="large",
            logits=logits[0],
            feature=feature[0],
            latency_ms=(self._clock() - started) * 1000,
        )
