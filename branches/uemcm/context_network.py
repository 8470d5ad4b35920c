"""The context branch in NumPy, for inference: what `heads.ContextBranch` trains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from egomon.branches.bundle.card import SmallCard
from egomon.branches.bundle.card_check import MAX_POSITIONS
from egomon.branches.bundle.weights import HasShape, Tensors, as_float32, check_shapes, part
from egomon.branches.interfaces import Float32
from egomon.branches.layers import gelu, layer_norm, linear, sigmoid, softmax, unit_rows
from egomon.errors import BundleError

Shapes = dict[str, tuple[int, ...]]


class ContextOutput(NamedTuple):
    """Outputs for one segment."""

    logits: Float32
    """(2,): correct, mistake."""
    feature: Float32
    """(width,): h_s."""
    step: Float32 | None
    """(K,) logits of the step in the fine clip; None without step names."""
    done: Float32 | None
    """(K,) logits of the steps already done in the context; None without step names."""


class ContextNetwork:
    """h_s = psi_s([h_c; h_f; h_c * h_f]), z_s = g_s(h_s) (paper, small-branch equations).

    Args:
        card: the small branch's, of one member.
        weights: float32, as `load` checks them.
    """

    def __init__(self, card: SmallCard, weights: Tensors) -> None:
        self.card = card
        self.weights = weights
        self.inner = len(weights["norm_fine.weight"])
        """Length of a summary."""

    @classmethod
    def load(cls, dim: int, card: SmallCard, tensors: Tensors, where: str) -> ContextNetwork:
        """From the tensors of one member.

        Raises:
            BundleError: if they do not fit the card.
        """
        card = named_as_now(card, tensors)
        _check_header(dim, card, where)
        return cls(card, as_float32(_shapes(dim, card), tensors, where))

    def __call__(self, coarse: Float32, fine: Float32) -> ContextOutput:
        """Score a segment (T, D) against its context (N, D); N may be 0."""
        h_f = self.summary(fine)
        h_c = self.summary(coarse) if self.card.context else None
        feature = self.feature(None if h_c is None else h_c[None], h_f)[0]
        return ContextOutput(
            logits=self.logits(feature),
            feature=feature,
            step=self.step(h_f),
            done=None if h_c is None else self.step(h_c),
        )

    def feature(self, contexts: Float32 | None, h_f: Float32) -> Float32:
        """h_s (B, width) of one fine summary in each of some contexts (B, inner)."""
        blocks = layer_norm(self.weights, "norm_fine", h_f)[None]
        if contexts is not None:
            context = layer_norm(self.weights, "norm_context", contexts)
            product = layer_norm(self.weights, "norm_product", contexts * h_f)
            fine = np.broadcast_to(blocks, context.shape)
            blocks = np.concatenate([context, fine, product], axis=-1)
        hidden = gelu(linear(self.weights, "psi.0.0", blocks))
        return layer_norm(self.weights, "psi.1", linear(self.weights, "psi.0.3", hidden))

    def logits(self, feature: Float32) -> Float32:
        """z_s (..., 2) of h_s (..., width)."""
        return linear(self.weights, "g.3", gelu(linear(self.weights, "g.0", feature)))

    def step(self, summary: Float32) -> Float32 | None:
        """(K,) logits of steps, None without step names."""
        return linear(self.weights, "step", summary) if self.card.steps else None

    def summary(self, vectors: Float32) -> Float32:
        """phi_s: the frames of one clip (N, D) to (inner,); zeros for an empty clip.

        See `clip4clip.TemporalHeader` for the three kinds.
        """
        vectors = np.asarray(vectors, np.float32)
        if not len(vectors):
            return np.zeros(self.inner, np.float32)
        kind = self.card.header
        if kind == "seqTransf-light":
            x = unit_rows(vectors) * np.float32(math.sqrt(vectors.shape[1]))
            if "header.project.weight" in self.weights:
                x = linear(self.weights, "header.project", x)
            return np.asarray(self._in_order(x).mean(axis=0))
        x = vectors if kind == "meanP" else self._in_order(vectors)
        return unit_rows(unit_rows(x).mean(axis=0))

    def _in_order(self, x: Float32) -> Float32:
        """With what a pre-norm transformer over the sequence adds."""
        weights, light = self.weights, self.card.header == "seqTransf-light"
        epsilon = 1e-5 if light else 1e-12
        y = x + weights["header.positions"][: len(x)]
        for i in range(_layers(self.card)):
            own = part(weights, f"header.transformer.layers.{i}.")
            y = y + self._attend(own, layer_norm(own, "norm1", y, epsilon))
            hidden = linear(own, "linear1", layer_norm(own, "norm2", y, epsilon))
            # QuickGELU, the activation of OpenAI's CLIP.
            hidden = gelu(hidden) if light else hidden * sigmoid(1.702 * hidden)
            y = y + linear(own, "linear2", hidden)
        return x + y

    def _attend(self, own: Tensors, x: Float32) -> Float32:
        heads = _heads(self.card, self.inner)
        qkv = x @ own["self_attn.in_proj_weight"].T + own["self_attn.in_proj_bias"]
        q, k, v = qkv.reshape(len(x), 3, heads, -1).transpose(1, 2, 0, 3)
        shares = softmax(q @ k.transpose(0, 2, 1) / np.float32(math.sqrt(q.shape[-1])))
        mixed = (shares @ v).transpose(1, 0, 2).reshape(len(x), -1)
        return linear(own, "self_attn.out_proj", mixed)


class ContextEnsemble:
    """Context branches of different seeds, whose outputs are averaged."""

    def __init__(self, members: Sequence[ContextNetwork]) -> None:
        self.members = members

    def __call__(self, coarse: Float32, fine: Float32) -> ContextOutput:
        """As `ContextNetwork`."""
        outputs = [member(coarse, fine) for member in self.members]
        means = (
            None if values[0] is None else np.mean(values, axis=0, dtype=np.float32)
            for values in zip(*outputs, strict=True)
        )
        return ContextOutput(*means)  # type: ignore[arg-type]  # the first two are never None


def load_network(dim: int, card: SmallCard, tensors: Tensors) -> ContextNetwork | ContextEnsemble:
    """The small branch's network from the bundle's tensors under `small.`, prefix removed.

    Raises:
        BundleError: if they do not fit the card.
    """
    if card.members == 1:
        return ContextNetwork.load(dim, card, tensors, "small branch")
    one = _shapes(dim, named_as_now(card, tensors))
    every = {f"members.{i}.{k}": v for i in range(card.members) for k, v in one.items()}
    check_shapes(every, tensors, "small branch")
    return ContextEnsemble(
        [
            ContextNetwork.load(dim, card, part(tensors, f"members.{i}."), "small branch")
            for i in range(card.members)
        ]
    )


def named_as_now(card: SmallCard, tensors: Mapping[str, HasShape]) -> SmallCard:
    """A card that was written when the light header was called seqTransf, with today's name.

    Args:
        card: the small branch's.
        tensors: its weights, which tell the two apart: the feed-forward part of the light one is
            twice as wide as the header.
    """
    for name, tensor in tensors.items():
        if name.endswith("header.transformer.layers.0.linear1.weight"):
            wide, width = tensor.shape
            if card.header == "seqTransf" and wide == 2 * width:
                return msgspec.structs.replace(card, header="seqTransf-light")
    return card


def _layers(card: SmallCard) -> int:
    return card.header_layers or 4


def _heads(card: SmallCard, inner: int) -> int:
    return card.header_heads or max(1, inner // 64)


def _check_header(dim: int, card: SmallCard, where: str) -> None:
    inner = card.header_width or dim
    if card.header != "seqTransf-light" and inner != dim:
        raise BundleError(
            f"{where} cannot be built as the card says: {card.header} has no projection, so "
            "header_width must be 0"
        )
    if card.header != "meanP" and inner % _heads(card, inner):
        raise BundleError(
            f"{where} cannot be built as the card says: a width of {inner} cannot be shared by "
            f"{_heads(card, inner)} heads"
        )


def _shapes(dim: int, card: SmallCard) -> Shapes:
    light = card.header == "seqTransf-light"
    inner = card.header_width or dim
    shapes: Shapes = {}

    def add(name: str, outputs: int, inputs: int | None = None) -> None:
        shapes[f"{name}.weight"] = (outputs,) if inputs is None else (outputs, inputs)
        shapes[f"{name}.bias"] = (outputs,)

    if card.header != "meanP":
        shapes["header.positions"] = (MAX_POSITIONS, inner)
        if inner != dim:
            add("header.project", inner, dim)
        for i in range(_layers(card)):
            layer = f"header.transformer.layers.{i}"
            shapes[f"{layer}.self_attn.in_proj_weight"] = (3 * inner, inner)
            shapes[f"{layer}.self_attn.in_proj_bias"] = (3 * inner,)
            add(f"{layer}.self_attn.out_proj", inner, inner)
            wide = (2 if light else 4) * inner
            add(f"{layer}.linear1", wide, inner)
            add(f"{layer}.linear2", inner, wide)
            add(f"{layer}.norm1", inner)
            add(f"{layer}.norm2", inner)
    for name in ("norm_context", "norm_fine", "norm_product"):
        add(name, inner)
    add("psi.0.0", card.width, (3 if card.context else 1) * inner)
    add("psi.0.3", card.width, card.width)
    add("psi.1", card.width)
    half = max(2, card.width // 2)
    add("g.0", half, card.width)
    add("g.3", 2, half)
    if card.steps:
        add("step", len(card.steps), inner)
    if card.workflows:
        add("workflow", len(card.workflows), inner)
    return shapes
