"""The large branch: scores a segment by its pixels alone, z_l = g_l(h_l), h_l = phi_l(V^f)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from egomon.branches.interfaces import BranchScore, Float32
from egomon.branches.uemcm.clip_frames import clip_of
from egomon.branches.uemcm.large_head import LargeClassifier
from egomon.stream.frame import Segment, UInt8Image


class ClipEmbedder(Protocol):
    """phi_l: frames of one segment to one unit vector."""

    def embed(
        self, clips: Sequence[Sequence[UInt8Image]], times: Sequence[Sequence[float]]
    ) -> Float32:
        """See `Qwen3VLEmbedder.embed`."""


class Qwen3VLBranch:
    """A frozen Qwen3-VL-Embedding model and the trained head on it."""

    def __init__(
        self,
        embedder: ClipEmbedder,
        head: LargeClassifier,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.embedder = embedder
        self.head = head
        self._clock = clock

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
