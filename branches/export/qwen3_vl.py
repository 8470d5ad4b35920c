"""A Qwen3-VL embedding model as one ONNX graph for clips of the card's frames and size.

What depends on the grid alone (positions and rotations of patches) is worked out once and stored.
The graph takes the prompt's tokens, since they carry the frames' times; `TokenTable` makes them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from egomon.branches.bundle.card import LargeEncoderCard, OnnxFileCard, OnnxFileName
from egomon.branches.export.graph import pin, write_graph
from egomon.branches.onnx.forms import LARGE
from egomon.branches.onnx.large import OnnxEmbedder
from egomon.branches.onnx.session import least_cosine
from egomon.branches.onnx.tokens import TOKENS, WEIGHTS, TokenTable, stamp_of
from egomon.branches.uemcm.qwen3_vl import Qwen3VLEmbedder, prompt
from egomon.errors import BundleError

LEAST_COSINE = 0.99999
# Stamps that the token table is checked on, every tenth of a second.
_LONGEST_SECONDS = 100


def write_large(
    card: LargeEncoderCard, embedder: Qwen3VLEmbedder, weights_sha256: str, folder: Path
) -> dict[OnnxFileName, OnnxFileCard]:
    """Write `large.onnx`, compared with the model; its entry for the card.

    Args:
        card: the large branch's.
        embedder: the model in float32 on the CPU.
        weights_sha256: of its weights.
        folder: where the file goes.

    Raises:
        BundleError: with what stood in the way of an exact graph.
    """
    if card.rules != "fixed":
        raise BundleError(
            f"the large branch takes any number of frames (field `large.rules` is {card.rules!r}), "
            "and the graph only a fixed one; run it with --engine torch"
        )
    path = folder / LARGE
    try:
        table = token_table(card, embedder)
        clip = np.zeros((card.frames, card.frame_px, card.frame_px, 3), np.uint8)
        ids, positions = table.inputs([0.0] * card.frames)
        write_graph(
            path,
            QwenGraph(embedder, clip).eval().requires_grad_(False),
            {
                "frames": torch.from_numpy(clip),
                "ids": torch.from_numpy(ids),
                "positions": torch.from_numpy(positions),
            },
            ("vectors", card.dim),
            {"ids": {0: "length"}, "positions": {1: "length"}},
            {TOKENS: msgspec.json.encode(table).decode(), WEIGHTS: weights_sha256},
        )
        entry = pin(path, 1.0)
        cosine = _compare(card, embedder, path, entry)
    except (BundleError, AttributeError, KeyError, TypeError) as error:
        raise BundleError(
            f"the large model {card.weights!r} cannot be made an ONNX graph: {error}"
        ) from error
    return {LARGE: msgspec.structs.replace(entry, cosine=round(cosine, 6))}


def token_table(card: LargeEncoderCard, embedder: Qwen3VLEmbedder) -> TokenTable:
    """The prompt's tokens in pieces, checked against the tokenizer on every stamp.

    Raises:
        BundleError: a stamp's tokens are not those of its characters one by one.
    """
    tokenizer, config = embedder.processor.tokenizer, embedder.model.config

    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

    head, tail = prompt(card).split("<|video_pad|>")
    table = TokenTable(
        head=ids(head),
        opening=ids("<"),
        digits=tuple(ids(str(d))[0] for d in range(10)),
        point=ids("."),
        closing=ids(" seconds>"),
        start=config.vision_start_token_id,
        video=config.video_token_id,
        end=config.vision_end_token_id,
        tail=ids(tail),
        side=card.frame_px // 32,
    )
    for tenth in range(10 * _LONGEST_SECONDS):
        stamp = stamp_of(tenth / 10)
        if ids(stamp) != table.stamp(stamp):
            raise BundleError(f"its tokenizer does not write {stamp!r} character by character")
    return table


class QwenGraph(nn.Module):
    """The model's own layers, in the order of its forward pass for one clip of fixed size."""

    mean: Tensor
    std: Tensor
    axes: Tensor
    places: Tensor
    patch_cos: Tensor
    patch_sin: Tensor

    def __init__(self, embedder: Qwen3VLEmbedder, clip: np.ndarray[Any, Any]) -> None:
        super().__init__()
        model, self.dim = embedder.model, embedder.card.dim
        self.visual, self.text = model.visual, model.language_model
        self.video = model.config.video_token_id
        self.frames, self.px = clip.shape[0], clip.shape[1]
        video = embedder.processor.video_processor
        if not (video.do_rescale and video.do_normalize):
            raise BundleError("its processor does not scale and normalise pixels")
        for name, values in (("mean", video.image_mean), ("std", video.image_std)):
            scaled = torch.tensor(values) / video.rescale_factor
            self.register_buffer(name, scaled.view(1, 3, 1, 1), persistent=False)
        self._note_grid(embedder, clip)
        rope = self.text.rotary_emb
        if rope.rope_type != "default":
            raise BundleError(f"its rotary embedding is of type {rope.rope_type!r}, not default")
        half = len(rope.inv_freq)
        # Which of time, height and width turns each pair of values.
        axes = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 1, 1, half).clone()
        self.register_buffer("axes", rope.recomposition_frequencies(axes)[0, 0, :half].long())

    def _note_grid(self, embedder: Qwen3VLEmbedder, clip: np.ndarray[Any, Any]) -> None:
        """Positions and rotations of patches, as the model itself works them out."""
        noted: dict[str, Any] = {}

        def on_embed(module: nn.Module, args: Any, out: Tensor) -> None:
            noted["patches"] = out

        def on_block(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
            noted["rotations"] = kwargs["position_embeddings"]
            noted["hidden"] = args[0] if args else kwargs["hidden_states"]

        hooks = [
            self.visual.patch_embed.register_forward_hook(on_embed),
            self.visual.blocks[0].register_forward_pre_hook(on_block, with_kwargs=True),
        ]
        try:
            embedder.embed([list(clip)], [[0.0] * len(clip)])
        finally:
            for hook in hooks:
                hook.remove()
        per_frame = (self.px // 16) ** 2
        where = noted["hidden"] - noted["patches"]
        self.register_buffer("places", where[:per_frame].clone())
        for name, values in zip(("cos", "sin"), noted["rotations"], strict=True):
            self.register_buffer(f"patch_{name}", values[:per_frame].float().clone())

    def forward(self, frames: Tensor, ids: Tensor, positions: Tensor) -> Tensor:
        """(T, S, S, 3) uint8, (L,) and (3, L) to the unit vector (1, D)."""
        seen, deep = self._see(frames)
        is_video = ids == self.video
        which = (is_video.long().cumsum(0) - 1).clamp_min(0)
        is_video = is_video.unsqueeze(-1)
        x = torch.where(is_video, seen[which], self.text.embed_tokens(ids))
        angles = positions[self.axes].transpose(0, 1).float() * self.text.rotary_emb.inv_freq
        angles = torch.cat([angles, angles], dim=-1)
        scaling = self.text.rotary_emb.attention_scaling
        cos, sin = angles.cos() * scaling, angles.sin() * scaling
        order = torch.arange(ids.shape[0])
        hidden = torch.where(order[:, None] >= order[None, :], 0.0, float("-inf"))
        for i, layer in enumerate(self.text.layers):
            x = x + self._attend(layer.self_attn, layer.input_layernorm(x), cos, sin, hidden)
            x = x + layer.mlp(layer.post_attention_layernorm(x))
            if i < len(deep):
                x = x + torch.where(is_video, deep[i][which], torch.zeros(()))
        last = self.text.norm(x[-1:])
        return F.normalize(last[:, : self.dim], dim=-1)

    def _see(self, frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Visual tokens (V, D), and those that later layers of the text model add."""
        pairs, side = self.frames // 2, self.px // 32
        x = (frames.permute(0, 3, 1, 2).float() - self.mean) / self.std
        x = x.view(pairs, 2, 3, side, 2, 16, side, 2, 16)
        x = x.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(pairs * 4 * side**2, 3 * 2 * 16 * 16)
        convolution = self.visual.patch_embed.proj
        x = F.linear(x, convolution.weight.flatten(1), convolution.bias)
        x = x.view(pairs, 4 * side**2, -1) + self.places
        deep: list[Tensor] = []
        for i, block in enumerate(self.visual.blocks):
            x = x + self._look(block.attn, block.norm1(x))
            x = x + block.mlp(block.norm2(x))
            if i in self.visual.deepstack_visual_indexes:
                merger = self.visual.deepstack_merger_list[len(deep)]
                deep.append(merger(x.flatten(0, 1)))
        return self.visual.merger(x.flatten(0, 1)), deep

    def _look(self, attention: Any, x: Tensor) -> Tensor:
        """Attention among the patches of one pair of frames: (P, N, D)."""
        pairs, count, width = x.shape
        heads = attention.num_heads
        q, k, v = attention.qkv(x).view(pairs, count, 3, heads, -1).permute(2, 0, 3, 1, 4)
        q, k = (_turned(y, self.patch_cos, self.patch_sin) for y in (q, k))
        shares = (q @ k.transpose(-1, -2) * attention.scaling).softmax(dim=-1)
        out: Tensor = attention.proj((shares @ v).transpose(1, 2).reshape(pairs, count, width))
        return out

    def _attend(self, a: Any, x: Tensor, cos: Tensor, sin: Tensor, hidden: Tensor) -> Tensor:
        """Causal attention, keys shared by groups of heads: (L, D)."""
        groups, depth = a.num_key_value_groups, a.head_dim
        shared = a.k_proj.out_features // depth
        q = a.q_norm(a.q_proj(x).view(-1, shared * groups, depth)).transpose(0, 1)
        k = a.k_norm(a.k_proj(x).view(-1, shared, depth)).transpose(0, 1)
        v = a.v_proj(x).view(-1, shared, depth).transpose(0, 1)
        q = _turned(q, cos, sin).reshape(shared, groups, -1, depth)
        k = _turned(k, cos, sin)
        scores = q @ k.unsqueeze(1).transpose(-1, -2) * a.scaling + hidden
        mixed = (scores.softmax(dim=-1) @ v.unsqueeze(1)).flatten(0, 1)
        out: Tensor = a.o_proj(mixed.transpose(0, 1).flatten(1))
        return out


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    one, other = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-other, one], dim=-1) * sin


def _compare(
    card: LargeEncoderCard, embedder: Qwen3VLEmbedder, path: Path, entry: OnnxFileCard
) -> float:
    """Least cosine over made-up clips, with times below and above ten seconds."""
    ours = OnnxEmbedder(path, entry, card)
    rng = np.random.default_rng(0)
    worst = 1.0
    for seconds in (0.0, 2.0, 7.5, 23.4):
        shape = (card.frames, card.frame_px, card.frame_px, 3)
        clip = list(rng.integers(0, 256, shape).astype(np.uint8))
        times = np.linspace(0, seconds, card.frames).tolist()
        given = ours.embed([clip], [times]), embedder.embed([clip], [times])
        worst = min(worst, least_cosine(*given))
    if not worst >= LEAST_COSINE:
        raise BundleError(
            f"the graph gives other vectors than the model (cosine {worst:.5f}, at least "
            f"{LEAST_COSINE} is needed): this version of transformers computes it otherwise"
        )
    return worst
