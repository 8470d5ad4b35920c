"""A Qwen3-VL of about a million weights: the real architecture, small enough for a CPU.

`branches/uemcm/large_branch.py` loads it like any Qwen3-VL-Embedding. Here are its setup, its
tokenizer, and batched forms of its two halves for training; both give the model's own numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from egomon.branches.bundle.card import LargeEncoderCard
from egomon.branches.uemcm.qwen3_vl import prompt
from tools.make_workbench.pictures import LARGE_PX

FRAMES = 16
PAIRS = FRAMES // 2
PATCH = 16
CELLS = LARGE_PX // PATCH
TOKENS_PER_PAIR = (CELLS // 2) ** 2
WIDTH = 128
"""Of the language model, and so of h_l."""
INSTRUCTION = "Judge the step."
_SPECIAL = (
    *("endoftext", "im_start", "im_end", "object_ref_start", "object_ref_end", "box_start"),
    *("box_end", "quad_start", "quad_end", "vision_start", "vision_end", "vision_pad"),
    *("image_pad", "video_pad"),
)
# Words that are one token; everything else is bytes.
_MERGED = ("Ġseconds", "system", "user", "assistant", "Judge", "Ġthe", "Ġstep")


def _tokenizer() -> Any:
    import transformers
    from tokenizers import pre_tokenizers

    make: Any = transformers.Qwen2Tokenizer
    vocabulary = {s: i for i, s in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges: list[tuple[str, str]] = []
    for word in _MERGED:
        for end in range(1, len(word)):
            if word[: end + 1] not in vocabulary:
                vocabulary[word[: end + 1]] = len(vocabulary)
                merges.append((word[:end], word[end]))
    return make(
        vocab=vocabulary,
        merges=merges,
        unk_token=None,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=[f"<|{name}|>" for name in _SPECIAL],
        model_max_length=4096,
    )


def token_ids(tokenizer: Any) -> dict[str, int]:
    """Token ids of pictures, for `Qwen3VLConfig`."""
    names = {
        "image": "image_pad",
        "video": "video_pad",
        "vision_start": "vision_start",
        "vision_end": "vision_end",
    }
    return {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>")
        for name, token in names.items()
    }


def new_model(seed: int) -> tuple[Any, Any]:
    """A fresh Qwen3VLModel and its processor."""
    import transformers

    hf: Any = transformers

    tokenizer = _tokenizer()
    ids = token_ids(tokenizer)
    rope = {
        "rope_type": "default",
        "rope_theta": 1e4,
        "mrope_interleaved": True,
        "mrope_section": [8, 4, 4],
    }
    text = {
        "vocab_size": len(tokenizer), "hidden_size": WIDTH, "intermediate_size": 256,
        "num_hidden_layers": 3, "head_dim": 32, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 4096, "rope_parameters": rope,
    }  # fmt: skip
    vision = {
        "depth": 4, "hidden_size": 96, "intermediate_size": 288, "num_heads": 4,
        "patch_size": PATCH, "temporal_patch_size": 2, "spatial_merge_size": 2,
        "out_hidden_size": WIDTH, "deepstack_visual_indexes": [],
        "num_position_embeddings": CELLS**2,
    }  # fmt: skip
    torch.manual_seed(seed)
    config = hf.Qwen3VLConfig(
        text_config=text, vision_config=vision, tie_word_embeddings=True, **ids
    )
    config._attn_implementation = "sdpa"
    processor = hf.Qwen3VLProcessor(
        image_processor=hf.Qwen2VLImageProcessor(patch_size=PATCH, merge_size=2),
        video_processor=hf.Qwen3VLVideoProcessor(),
        tokenizer=tokenizer,
    )
    return hf.Qwen3VLModel(config), processor


def save_model(model: Any, processor: Any, folder: Path) -> None:
    """As `from_pretrained` reads it."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def patches(frames: NDArray[np.uint8]) -> Tensor:
    """(B, 2, S, S, 3) RGB pairs to (B, CELLS², 1536), as the video processor cuts them."""
    half = CELLS // 2
    x = torch.from_numpy(frames).view(len(frames), 2, half, 2, PATCH, half, 2, PATCH, 3)
    x = x.permute(0, 2, 5, 3, 6, 8, 1, 4, 7)  # rows, columns, then the 2 x 2 that merge
    # Moved as bytes, a quarter of the memory; scaled in place.
    return x.reshape(len(frames), CELLS**2, -1).float().div_(127.5).sub_(1)


def cell_order() -> NDArray[np.int64]:
    """Row-major cell number of each patch, in the order of `patches`."""
    half = CELLS // 2
    numbers = np.arange(CELLS**2).reshape(half, 2, half, 2)
    return numbers.transpose(0, 2, 1, 3).ravel()


class VisionTower:
    """The vision tower on pairs of one size, batched (its own forward loops over pairs)."""

    def __init__(self, visual: Any) -> None:
        self.visual = visual
        order = torch.from_numpy(cell_order())
        self._positions = order
        where = torch.stack([order // CELLS, order % CELLS], dim=1)
        with torch.no_grad():
            cos, sin = visual.rotary_pos_emb(torch.zeros(1), where)
        self._cos, self._sin = cos[:, None, :], sin[:, None, :]

    def __call__(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(B, cells, 1536) to hidden cells (B, cells, 96) and visual tokens (B, 16, WIDTH)."""
        v = self.visual
        kernel = v.patch_embed.proj
        x = F.linear(pixels, kernel.weight.flatten(1), kernel.bias)
        x = x + v.pos_embed(self._positions)
        for block in v.blocks:
            x = x + self._attend(block.attn, block.norm1(x))
            x = x + block.mlp(block.norm2(x))
        merged: Tensor = v.merger(x)
        return x, merged.view(len(pixels), TOKENS_PER_PAIR, -1)

    def _attend(self, attention: Any, x: Tensor) -> Tensor:
        batch, cells, width = x.shape
        q, k, value = attention.qkv(x).view(batch, cells, 3, attention.num_heads, -1).unbind(2)
        q, k = self._turn(q), self._turn(k)
        # By hand: on a CPU the fused kernel's backward takes four times as long for bfloat16
        # and so few cells.
        scores = (q.transpose(1, 2) * q.shape[-1] ** -0.5) @ k.permute(0, 2, 3, 1)
        out = scores.softmax(dim=-1) @ value.transpose(1, 2)
        result: Tensor = attention.proj(out.transpose(1, 2).reshape(batch, cells, width))
        return result

    def _turn(self, x: Tensor) -> Tensor:
        half = x.shape[-1] // 2
        turned = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
        result: Tensor = (x * self._cos + turned * self._sin).to(x.dtype)
        return result


class Reader:
    """The language model on visual tokens that are there already."""

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model
        self._tokenizer = processor.tokenizer
        self._pad = int(self._tokenizer.pad_token_id)
        self._video = int(model.config.video_token_id)
        self._end = int(model.config.vision_end_token_id)

    def text(self, times: NDArray[np.float64]) -> list[int]:
        """Token ids of one clip; (FRAMES,) seconds from its start."""
        stamps = (np.round(times * 1000) / 1000).reshape(-1, 2).mean(axis=1)
        pads = "<|video_pad|>" * TOKENS_PER_PAIR
        clip = "".join(
            f"<{stamp:.1f} seconds><|vision_start|>{pads}<|vision_end|>" for stamp in stamps
        )
        card = LargeEncoderCard(weights="bundle", instruction=INSTRUCTION, dim=WIDTH)
        ids = self._tokenizer(prompt(card).replace("<|video_pad|>", clip))["input_ids"]
        return [int(i) for i in ids]

    def __call__(self, tokens: Tensor, texts: list[list[int]]) -> tuple[Tensor, Tensor]:
        """(B, PAIRS, 16, WIDTH) visual tokens and texts to h_l (B, WIDTH) and (B, PAIRS, WIDTH).

        The second is the hidden state at the end of each pair, for auxiliary supervision.
        """
        longest = max(map(len, texts))
        ids = torch.tensor([t + [self._pad] * (longest - len(t)) for t in texts])
        mask = torch.tensor([[1] * len(t) + [0] * (longest - len(t)) for t in texts])
        language = self.model.language_model
        is_video = ids == self._video
        embeds = language.embed_tokens(ids)
        embeds = embeds.masked_scatter(is_video[..., None], tokens.flatten(0, 2).to(embeds.dtype))
        grid = torch.tensor([[PAIRS, CELLS, CELLS]] * len(texts))
        kinds = torch.where(is_video, 2, 0)
        with torch.no_grad():
            positions, _ = self.model.get_rope_index(
                ids, kinds, video_grid_thw=grid, attention_mask=mask
            )
        hidden = language(
            inputs_embeds=embeds, position_ids=positions, attention_mask=mask, use_cache=False
        ).last_hidden_state.float()
        last = mask.sum(dim=1) - 1
        pairs = hidden[ids == self._end].view(len(texts), PAIRS, -1)
        return F.normalize(hidden[torch.arange(len(texts)), last], dim=-1), pairs
