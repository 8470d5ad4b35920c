"""What the trained context branch of a base bundle adds: names of steps, and how they are done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
import torch

from egomon.branches.base import Float32, Label
from egomon.branches.card import BundleCard
from egomon.branches.heads import ContextBranch, SmallOutput
from egomon.branches.taught_look import unit
from egomon.branches.weights import Tensors, fill

SURE = 0.5
"""Probability above which the base's name of a step is used."""


@dataclass(frozen=True, slots=True, eq=False)
class BaseLook:
    """`Look`: what the base bundle's step head believes to see.

    The base's steps need not be the taught ones: its probabilities are used as a description. The
    square roots make the cosine of two looks the Bhattacharyya coefficient of two beliefs.
    """

    module: ContextBranch
    names: tuple[str, ...]
    """Names of the base's steps; a look has one value for each."""

    @classmethod
    def load(cls, card: BundleCard, options: Mapping[str, float], tensors: Tensors) -> BaseLook:
        """From a taught bundle.

        Args:
            card: its card; `small` has the sizes of the base's branch.
            options: `base_steps` and `base_workflows`, how many of them the base knows.
            tensors: the base's small branch.

        Raises:
            BundleError: if they do not fit the card.
        """
        steps, workflows = int(options["base_steps"]), int(options.get("base_workflows", 0))
        small = msgspec.structs.replace(
            card.small,
            kind="uemcm",
            steps=tuple(f"{i}" for i in range(steps)),
            workflows=tuple(f"{i}" for i in range(workflows)),
            options={},
        )
        return cls.of_base(msgspec.structs.replace(card, small=small), tensors)

    @classmethod
    def of_base(cls, card: BundleCard, tensors: Tensors) -> BaseLook:
        """From a base bundle's card and its tensors under `small.`, prefix removed.

        Raises:
            BundleError: if they do not fit the card.
        """
        dim = card.frame_encoder.dim
        module = fill(lambda: ContextBranch(dim, card.small), tensors, "base branch")
        return cls(module, card.small.steps)

    def __call__(self, clip: Float32, background: Float32) -> Float32:
        """See `Look`; the background is not needed: the head was trained to ignore it."""
        step = self._run(clip).step
        assert step is not None
        return unit(step[0].softmax(dim=-1).sqrt().numpy())

    def handling(self, clip: Float32) -> float:
        """Log odds that the clip alone, without any context, shows a mistake."""
        logits = self._run(clip).logits[0]
        return float(logits[Label.MISTAKE] - logits[Label.CORRECT])

    def name_of(self, look: Float32) -> str | None:
        """The base's name for what is seen, None where it is not sure."""
        best = int(look.argmax())
        return self.names[best] if look[best] ** 2 > SURE else None

    def options(self) -> dict[str, int]:
        """What `load` needs beside the tensors."""
        return {"base_steps": len(self.names), "base_workflows": len(self.module.card.workflows)}

    def tensors(self) -> Tensors:
        """What `load` reads."""
        return dict(self.module.state_dict())

    @torch.inference_mode()
    def _run(self, clip: Float32) -> SmallOutput:
        fine = torch.from_numpy(np.array(clip, np.float32)).unsqueeze(0)
        mask = torch.ones(fine.shape[:2], dtype=torch.bool)
        output: SmallOutput = self.module(fine[:, :0], mask[:, :0], fine, mask)
        return output
