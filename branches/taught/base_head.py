"""What the trained context branch of a base bundle adds: names of steps, and how they are done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import torch
from torch import Tensor

from egomon.branches.bundle.card import BundleCard
from egomon.branches.bundle.weights import Tensors
from egomon.branches.interfaces import Float32, Label
from egomon.branches.taught.descriptor import unit
from egomon.branches.torch_modules import fill, to_arrays
from egomon.branches.uemcm.clip4clip import named_as_now
from egomon.branches.uemcm.heads import ContextBranch
from egomon.errors import BundleError

CONTEXTS = "contexts"
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
    contexts: Tensor
    """(B, inner) summaries of what may have been seen before a step, at least one."""

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
        own = {k: v for k, v in tensors.items() if k != CONTEXTS}
        small = named_as_now(card.small, own)
        module = fill(lambda: ContextBranch(dim, small), own, "base branch")
        contexts = np.asarray(tensors.get(CONTEXTS, np.zeros((1, module.header.dim))), np.float32)
        if contexts.ndim != 2 or contexts.shape[1] != module.header.dim or not len(contexts):
            raise BundleError(
                f"base branch: {CONTEXTS} has shape {contexts.shape}, expected at least one "
                f"row of {module.header.dim}; card and weights are from different bundles"
            )
        return cls(module, card.small.steps, torch.from_numpy(contexts))

    @torch.inference_mode()
    def __call__(self, clip: Float32, background: Float32) -> Float32:
        """See `Look`; the background is not needed: the head was trained to ignore it."""
        assert self.module.step is not None
        step = self.module.step(self._header(clip))
        return unit(step[0].softmax(dim=-1).sqrt().numpy())

    def handling(self, clip: Float32) -> float:
        """Log odds that the clip shows a mistake in whatever context it would be right.

        The base judges order too, but knows only workflows of its own. The least log odds over
        many contexts leave what no context can excuse: how the thing is done.
        """
        return float(self._logits(clip).min())

    @torch.inference_mode()
    def _logits(self, clip: Float32) -> Tensor:
        """(B,) log odds in each of the contexts."""
        module = self.module
        fine = self._header(clip)
        normed = module.norm_fine(fine)
        if module.card.context:
            context = self.contexts
            normed = normed.expand(len(context), -1)
            product = module.norm_product(context * fine)
            normed = torch.cat([module.norm_context(context), normed, product], dim=-1)
        logits = module.g(module.psi(normed))
        odds: Tensor = (logits[:, Label.MISTAKE] - logits[:, Label.CORRECT]).reshape(-1)
        return odds

    def in_contexts(self, clips: Sequence[Float32]) -> BaseLook:
        """The same look, whose `handling` tries these contexts.

        Args:
            clips: (N, D) each, what may have been seen before a step.
        """
        return replace(self, contexts=torch.cat([self._header(clip) for clip in clips]))

    @torch.inference_mode()
    def _header(self, clip: Float32) -> Tensor:
        """(1, inner) summary of frames; zeros where there are none."""
        frames = torch.from_numpy(np.array(clip, np.float32)).unsqueeze(0)
        summary: Tensor = self.module.header(frames, torch.ones(frames.shape[:2], dtype=torch.bool))
        return summary

    def name_of(self, look: Float32) -> str | None:
        """The base's name for what is seen, None where it is not sure."""
        best = int(look.argmax())
        return self.names[best] if look[best] ** 2 > SURE else None

    def options(self) -> dict[str, int]:
        """What `load` needs beside the tensors."""
        return {"base_steps": len(self.names), "base_workflows": len(self.module.card.workflows)}

    def tensors(self) -> Tensors:
        """What `load` reads."""
        return to_arrays(self.module.state_dict()) | {CONTEXTS: self.contexts.numpy()}
