"""The large branch whose embedding h_l comes from a server; the head g_l stays here."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from egomon.branches.bundle.card import LargeEncoderCard
from egomon.branches.interfaces import BranchScore, Float32
from egomon.branches.remote.client import LONGEST_SECONDS, EmbeddingsClient, LargeEndpoint
from egomon.branches.remote.probe import check_parity, cut, probe_clip
from egomon.branches.remote.request import embedding_request
from egomon.branches.uemcm.clip_frames import clip_of, resampled_clip
from egomon.errors import LargeEndpointError
from egomon.stream.frame import Segment

COMPARE_SECONDS = 60.0
"""The models are compared again after this: a server that was started anew in a pause between two
calls looks like one that was not."""

logger = logging.getLogger(__name__)


class Head(Protocol):
    """g_l."""

    def logits(self, vectors: Float32) -> Float32:
        """(B, dim) to (B, 2): correct, mistake."""


class EndpointBranch:
    """A `RemoteLargeBranch` over vLLM's embeddings; several threads may call `score_within`.

    The server may be started anew at any time, with whatever model: the probe's vector is compared
    before the first score, after a lost connection, and once a minute.

    Args:
        card: of the large encoder.
        head: g_l.
        endpoint: where the model is served.
        expected: (dim,) the probe's vector by the bundle's own model.
        client: calls the server; None = a new one.
    """

    def __init__(
        self,
        card: LargeEncoderCard,
        head: Head,
        endpoint: LargeEndpoint,
        expected: Float32,
        *,
        client: EmbeddingsClient | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._card, self._head, self._expected = card, head, expected
        self._client = client or EmbeddingsClient(endpoint)
        self._model = endpoint.model
        self._known: str | None = None
        """Name of the model that was compared; None = to be compared before the next score."""
        self._compared = 0.0
        self._comparing = threading.Lock()
        self._clock = clock
        self.in_flight = endpoint.in_flight

    def connect(self, seconds: float | None = None) -> float:
        """Compare the server's model with the bundle's; the cosine of the probe's vectors.

        Raises:
            LargeEndpointError: it does not answer, refuses, or serves another model.
        """
        name = self._model or self._only_model(seconds)
        frames, times = probe_clip(self._card)
        vector = self._embed(name, frames, times, seconds)
        cosine = check_parity(self._card, self._expected, vector, self._client.shown)
        if self._known is None:
            logger.info(
                "%s at %s is the large branch, cosine %.4f", name, self._client.shown, cosine
            )
        self._known, self._compared = name, self._clock()
        return cosine

    def score(self, segment: Segment) -> BranchScore:
        """See `LargeBranch`."""
        return self.score_within(segment, None)

    def score_within(self, segment: Segment, seconds: float | None) -> BranchScore:
        """Score one segment, for at most so many seconds; None = no deadline.

        Raises:
            ValueError: if the segment holds no frames.
            LargeEndpointError: no answer in time, a refusal, or another model.
        """
        started = self._clock()
        frames, times = resampled_clip(*clip_of(segment), self._card)
        name = self._same_model(seconds)
        left = None if seconds is None else seconds - (self._clock() - started)
        try:
            feature = self._embed(name, frames, times, left)
        except LargeEndpointError as error:
            if error.restarted:
                self._known = None
            raise
        return BranchScore(
            branch="large",
            logits=self._head.logits(feature[None])[0],
            feature=feature,
            latency_ms=(self._clock() - started) * 1000,
        )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _same_model(self, seconds: float | None) -> str:
        """Name of the server's model, compared where that is due; others wait for the outcome."""
        longest = LONGEST_SECONDS if seconds is None else max(0.0, seconds)
        if not self._comparing.acquire(timeout=longest):
            raise LargeEndpointError(f"{self._client.shown} was not compared in time")
        try:
            name = self._known
            if name is None or self._clock() - self._compared > COMPARE_SECONDS:
                self._known = None
                self.connect(seconds)
                name = self._known
            assert name is not None
            return name
        finally:
            self._comparing.release()

    def _embed(
        self, name: str, frames: NDArray[np.uint8], times: list[float], seconds: float | None
    ) -> Float32:
        request = embedding_request(self._card, name, frames, times)
        return cut(self._card, self._client.embedding(request, seconds), self._client.shown)

    def _only_model(self, seconds: float | None) -> str:
        served = [model.id for model in self._client.models(seconds)]
        if len(served) != 1:
            raise LargeEndpointError(
                f"{self._client.shown} serves {len(served)} models"
                + (f" ({', '.join(served[:5])})" if served else "")
                + "; name one in large.model"
            )
        return served[0]
