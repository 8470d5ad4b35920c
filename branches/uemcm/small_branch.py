"""The small branch: scores a segment against the workflow so far, on cached frame vectors."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from egomon.branches.bundle.card import BundleCard
from egomon.branches.bundle.weights import Tensors
from egomon.branches.interfaces import BranchScore, ClipView, ContextView, Float32, Label, StepGuess
from egomon.branches.layers import sigmoid, softmax
from egomon.branches.uemcm.context_network import (
    ContextEnsemble,
    ContextNetwork,
    ContextOutput,
    load_network,
)

# Probability above which a step counts as done before.
_DONE = 0.5


class UemcmSmallBranch:
    """z_s = g_s(psi_s([h_c; h_f; h_c * h_f])) for one segment; pure."""

    def __init__(
        self,
        card: BundleCard,
        network: ContextNetwork | ContextEnsemble,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.card = card
        self.network = network
        self._clock = clock

    @classmethod
    def load(cls, card: BundleCard, tensors: Tensors) -> UemcmSmallBranch:
        """From the bundle's tensors under `small.`, prefix removed.

        Raises:
            BundleError: if they do not fit the card.
        """
        return cls(card, load_network(card.frame_encoder.dim, card.small, tensors))

    def score(self, clip: ClipView, context: ContextView) -> BranchScore:
        """Score one segment; the same views give the same score.

        Raises:
            ValueError: if the clip is empty, or the views are larger than the card allows.
        """
        started = self._clock()
        stream, dim = self.card.stream, self.card.frame_encoder.dim
        fine = _checked("clip", clip.vectors, stream.fine_frames, dim)
        if len(fine) == 0:
            raise ValueError("the clip has no frame vectors, so there is nothing to score")
        coarse = _checked("context", context.vectors, stream.context_frames, dim)
        output = self.network(coarse, fine)
        step = self._step(output)
        return BranchScore(
            branch="small",
            logits=output.logits,
            feature=output.feature,
            latency_ms=(self._clock() - started) * 1000,
            step=step,
            reason=self._reason(output, step, context),
        )

    def _step(self, output: ContextOutput) -> StepGuess | None:
        if output.step is None:
            return None
        probabilities = softmax(output.step)
        best = int(probabilities.argmax())
        name = self.card.small.steps[best]
        return StepGuess(id=name, text=name, confidence=float(probabilities[best]))

    def _reason(
        self, output: ContextOutput, step: StepGuess | None, context: ContextView
    ) -> str | None:
        """Say that a step is a repetition: the one reason these heads can give."""
        if step is None or output.done is None or len(context.vectors) == 0:
            return None
        if output.logits[Label.MISTAKE] <= output.logits[Label.CORRECT]:
            return None
        done = float(sigmoid(output.done[self.card.small.steps.index(step.id)]))
        if done <= _DONE:
            return None
        return f"'{step.text}' again, although it seems to be done already"


def _checked(what: str, vectors: Float32, most: int, dim: int) -> Float32:
    if vectors.ndim != 2 or vectors.shape[1] != dim or len(vectors) > most:
        raise ValueError(
            f"the {what} has vectors of shape {vectors.shape}; expected at most {most} of {dim}"
        )
    return np.asarray(vectors, np.float32)
