"""Look of a segment by the step head of the bundle that teaching started from."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from egomon.branches.base import Float32
from egomon.branches.card import BundleCard, SmallCard
from egomon.branches.clip4clip import TemporalHeader
from egomon.branches.taught_look import unit
from egomon.branches.weights import Tensors, fill, part

SURE = 0.5
"""Probability above which the base's name of a step is used."""


class _StepHead(nn.Module):
    """phi_s and the auxiliary step matrix of a context branch, without the rest."""

    def __init__(self, dim: int, card: SmallCard, steps: int) -> None:
        super().__init__()
        self.header = TemporalHeader(dim, card)
        self.step = nn.Linear(self.header.dim, steps)

    def forward(self, fine: Tensor) -> Tensor:
        """(1, T, D) to step logits (1, K)."""
        mask = torch.ones(fine.shape[:2], dtype=torch.bool)
        logits: Tensor = self.step(self.header(fine, mask))
        return logits


@dataclass(frozen=True, slots=True, eq=False)
class BaseLook:
    """`Look`: what the base bundle's step head believes to see.

    The base's steps need not be the taught ones: its probabilities are used as a description. The
    square roots make the cosine of two looks the Bhattacharyya coefficient of two beliefs.
    """

    module: _StepHead
    steps: int
    """Number of the base's steps K: the length of a look."""
    names: tuple[str, ...] = ()
    """Names of the base's steps, known while teaching."""

    @classmethod
    def load(cls, card: BundleCard, steps: int, tensors: Tensors) -> BaseLook:
        """From tensors named as in the base's small branch (`header.`, `step.`).

        Raises:
            BundleError: if they do not fit the card's header.
        """
        small = msgspec.structs.replace(card.small, kind="uemcm", steps=(), options={})
        dim = card.frame_encoder.dim
        module = fill(lambda: _StepHead(dim, small, steps), tensors, "base step head")
        return cls(module, steps)

    @classmethod
    def of_base(cls, card: BundleCard, small: Tensors) -> BaseLook:
        """From a base bundle's card and its tensors under `small.`, prefix removed."""
        own = {f"{p}{k}": v for p in ("header.", "step.") for k, v in part(small, p).items()}
        names = card.small.steps
        return cls(cls.load(card, len(names), own).module, len(names), names)

    def name_of(self, look: Float32) -> str | None:
        """The base's name for what is seen, None where it is not sure."""
        best = int(look.argmax())
        return self.names[best] if self.names and look[best] ** 2 > SURE else None

    @torch.inference_mode()
    def __call__(self, clip: Float32, background: Float32) -> Float32:
        """See `Look`; the background is not needed: the head was trained to ignore it."""
        logits = self.module(torch.from_numpy(np.array(clip, np.float32)).unsqueeze(0))
        return unit(logits[0].softmax(dim=-1).sqrt().numpy())

    def tensors(self) -> Tensors:
        """What `load` reads."""
        return dict(self.module.state_dict())
