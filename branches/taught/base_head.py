"""What the trained context branch of a base bundle adds: names of steps, and how they are done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from egomon.branches.bundle.card import BundleCard
from egomon.branches.bundle.weights import Tensors
from egomon.branches.interfaces import Float32, Label
from egomon.branches.layers import softmax
from egomon.branches.taught.descriptor import unit
from egomon.branches.uemcm.context_network import ContextNetwork
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

    network: ContextNetwork
    names: tuple[str, ...]
    """Names of the base's steps; a look has one value for each."""
    contexts: Float32
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
        network = ContextNetwork.load(dim, card.small, own, "base branch")
        contexts = np.asarray(tensors.get(CONTEXTS, np.zeros((1, network.inner))), np.float32)
        if contexts.ndim != 2 or contexts.shape[1] != network.inner or not len(contexts):
            raise BundleError(
                f"base branch: {CONTEXTS} has shape {contexts.shape}, expected at least one "
                f"row of {network.inner}; card and weights are from different bundles"
            )
        return cls(network, card.small.steps, contexts)

    def __call__(self, clip: Float32, background: Float32) -> Float32:
        """See `Look`; the background is not needed: the head was trained to ignore it."""
        step = self.network.step(self.network.summary(clip))
        assert step is not None
        return unit(np.sqrt(softmax(step)))

    def handling(self, clip: Float32) -> float:
        """Log odds that the clip shows a mistake in whatever context it would be right.

        The base judges order too, but knows only workflows of its own. The least log odds over
        many contexts leave what no context can excuse: how the thing is done.
        """
        network = self.network
        contexts = self.contexts if network.card.context else None
        logits = network.logits(network.feature(contexts, network.summary(clip)))
        return float((logits[:, Label.MISTAKE] - logits[:, Label.CORRECT]).min())

    def in_contexts(self, clips: Sequence[Float32]) -> BaseLook:
        """The same look, whose `handling` tries these contexts.

        Args:
            clips: (N, D) each, what may have been seen before a step.
        """
        return replace(self, contexts=np.stack([self.network.summary(clip) for clip in clips]))

    def name_of(self, look: Float32) -> str | None:
        """The base's name for what is seen, None where it is not sure."""
        best = int(look.argmax())
        return self.names[best] if look[best] ** 2 > SURE else None

    def options(self) -> dict[str, int]:
        """What `load` needs beside the tensors."""
        return {"base_steps": len(self.names), "base_workflows": len(self.network.card.workflows)}

    def tensors(self) -> Tensors:
        """What `load` reads."""
        return self.network.weights | {CONTEXTS: self.contexts}
