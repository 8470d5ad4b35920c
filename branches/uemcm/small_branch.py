"""The small branch: scores a segment against the workflow so far, on cached frame vectors."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import numpy as np
import torch
from torch import Tensor

from egomon.branches.bundle.card import BundleCard
from egomon.branches.bundle.weights import Tensors
from egomon.branches.interfaces import BranchScore, ClipView, ContextView, Float32, Label, StepGuess
from egomon.branches.torch_modules import fill
from egomon.branches.uemcm.clip4clip import named_as_now
from egomon.branches.uemcm.heads import ContextBranch, Ensemble, SmallOutput, build_small

_DONE = 0.5
"""Probability above which a step counts as done before."""


class UemcmSmallBranch:
    """z_s = g_s(psi_s([h_c; h_f; h_c * h_f])) for one segment; pure."""

    def __init__(
        self,
        card: BundleCard,
        module: ContextBranch | Ensemble,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.card = card
        self.module = module.eval()
        self._clock = clock

    @classmethod
    def load(cls, card: BundleCard, tensors: Tensors) -> UemcmSmallBranch:
        """From the bundle's tensors under `small.`, prefix removed.

        Raises:
            BundleError: if they do not fit the card.
        """
        small = named_as_now(card.small, tensors)
        module = fill(lambda: build_small(card.frame_encoder.dim, small), tensors, "small branch")
        return cls(msgspec.structs.replace(card, small=small), module)

    @torch.inference_mode()
    def score(self, clip: ClipView, context: ContextView) -> BranchScore:
        """Score one segment; the same views give the same score.

        Raises:
            ValueError: if the clip is empty, or the views are larger than the card allows.
        """
        started = self._clock()
        stream, dim = self.card.stream, self.card.frame_encoder.dim
        fine = _batch_of_one("clip", clip.vectors, stream.fine_frames, dim)
        if fine.shape[1] == 0:
            raise ValueError("the clip has no frame vectors, so there is nothing to score")
        coarse = _batch_of_one("context", context.vectors, stream.context_frames, dim)
        output = self.module(coarse, _all_real(coarse), fine, _all_real(fine))
        logits = output.logits[0].numpy()
        step = self._step(output)
        return BranchScore(
            branch="small",
            logits=logits,
            feature=output.feature[0].numpy(),
            latency_ms=(self._clock() - started) * 1000,
            step=step,
            reason=self._reason(logits, step, output, context),
        )

    def _step(self, output: SmallOutput) -> StepGuess | None:
        if output.step is None:
            return None
        probabilities = output.step[0].softmax(dim=-1)
        best = int(probabilities.argmax())
        name = self.card.small.steps[best]
        return StepGuess(id=name, text=name, confidence=float(probabilities[best]))

    def _reason(
        self, logits: Float32, step: StepGuess | None, output: SmallOutput, context: ContextView
    ) -> str | None:
        """Say that a step is a repetition: the one reason these heads can give."""
        if step is None or output.done is None or len(context.vectors) == 0:
            return None
        if logits[Label.MISTAKE] <= logits[Label.CORRECT]:
            return None
        done = float(output.done[0, self.card.small.steps.index(step.id)].sigmoid())
        if done <= _DONE:
            return None
        return f"'{step.text}' again, although it seems to be done already"


def _batch_of_one(what: str, vectors: Float32, most: int, dim: int) -> Tensor:
    if vectors.ndim != 2 or vectors.shape[1] != dim or len(vectors) > most:
        raise ValueError(
            f"the {what} has vectors of shape {vectors.shape}; expected at most {most} of {dim}"
        )
    return torch.from_numpy(np.array(vectors, np.float32)).unsqueeze(0)


def _all_real(vectors: Tensor) -> Tensor:
    return torch.ones(vectors.shape[:2], dtype=torch.bool)
