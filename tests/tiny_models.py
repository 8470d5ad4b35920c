"""Tiny models with random weights, built and read through the same code as real ones. No hub.

All are seeded, so two builds are equal byte for byte.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from tools.make_workbench.networks.activity import ActivityModule
from tools.make_workbench.networks.qwen import token_ids

import egomon
from egomon.branches.bundle.card import (
    BundleCard,
    FrameEncoderCard,
    GateCard,
    GuardCard,
    LargeEncoderCard,
    SmallCard,
    StreamCard,
)
from egomon.branches.bundle.weights import Tensors
from egomon.branches.encoders.registry import build_frame_encoder
from egomon.branches.encoders.tower import TowerEncoder
from egomon.branches.load_bundle import save_bundle
from egomon.branches.out_of_domain.distance import fit_guard
from egomon.branches.torch_modules import to_arrays
from egomon.branches.uemcm.heads import ContextBranch, LargeHead
from egomon.train.fitting.heads.adaptive_gate import AdaptiveGate

CLIP_PX = 64
CLIP_DIM = 32
CLIP_CONFIG: dict[str, Any] = {
    "embed_dim": CLIP_DIM,
    "quick_gelu": True,
    "vision_cfg": {
        "image_size": CLIP_PX,
        "patch_size": 16,
        "width": 64,
        "head_width": 16,
        "layers": 2,
    },
    "text_cfg": {
        "context_length": 8,
        "vocab_size": 64,
        "width": 32,
        "heads": 2,
        "layers": 1,
    },
}
LARGE_DIM = 48
LARGE_HIDDEN = 64

_SPECIAL = [
    "endoftext",
    "im_start",
    "im_end",
    "object_ref_start",
    "object_ref_end",
    "box_start",
    "box_end",
    "quad_start",
    "quad_end",
    "vision_start",
    "vision_end",
    "vision_pad",
    "image_pad",
    "video_pad",
]


def build_tiny_clip(folder: Path, seed: int = 0) -> Path:
    """An open_clip folder (`local-dir:`) with a 64 px image tower of 32 values."""
    import open_clip
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = open_clip.CLIP(**json.loads(json.dumps(CLIP_CONFIG)))
    preprocess = {
        "size": CLIP_PX,
        "mean": open_clip.OPENAI_DATASET_MEAN,
        "std": open_clip.OPENAI_DATASET_STD,
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    config = {"model_cfg": CLIP_CONFIG, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    return folder


def build_tiny_qwen3vl(folder: Path, seed: int = 0) -> Path:
    """A Qwen3-VL folder of the real architecture with a byte-level tokenizer, about 1.5 MB."""
    from tokenizers import pre_tokenizers
    from transformers import (
        Qwen2Tokenizer,
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Qwen2Tokenizer(
        vocab={symbol: index for index, symbol in enumerate(alphabet)},
        merges=[],
        unk_token=None,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=[f"<|{name}|>" for name in _SPECIAL],
        model_max_length=32768,
    )
    ids = token_ids(tokenizer)
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": LARGE_HIDDEN,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "head_dim": 16,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 32768,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 5e6,
                "mrope_interleaved": True,
                "mrope_section": [4, 2, 2],
            },
        },
        vision_config={
            "depth": 3,
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_heads": 4,
            "patch_size": 16,
            "temporal_patch_size": 2,
            "spatial_merge_size": 2,
            "out_hidden_size": LARGE_HIDDEN,
            "deepstack_visual_indexes": [0, 1],
            "num_position_embeddings": 144,
        },
        tie_word_embeddings=True,
        **ids,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        Qwen3VLForConditionalGeneration(config).save_pretrained(folder)
    Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(patch_size=16, merge_size=2, temporal_patch_size=2),
        video_processor=Qwen3VLVideoProcessor(),
        tokenizer=tokenizer,
    ).save_pretrained(folder)
    return folder


def tiny_encoder_card(weights: str = "random:0", **changes: Any) -> FrameEncoderCard:
    """ViT-S-32 is the smallest built-in tower; `bundle` weights are used by `build_tiny_bundle`."""
    fields: dict[str, Any] = {
        "library": "open_clip",
        "architecture": "ViT-S-32",
        "image_px": 224,
        "dim": 384,
        "weights": weights,
    }
    return FrameEncoderCard(**(fields | changes))


def tiny_clip_card(folder: Path, **changes: Any) -> FrameEncoderCard:
    """Card of the tiny CLIP in a folder."""
    card = FrameEncoderCard(
        library="open_clip",
        architecture="tiny",
        weights=str(folder),
        image_px=CLIP_PX,
        dim=CLIP_DIM,
    )
    return msgspec.structs.replace(card, **changes)


def hf_clip_model() -> Any:
    """Hugging Face's CLIP with an image tower of the same sizes."""
    vision = {
        "hidden_size": 64,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": CLIP_PX,
        "patch_size": 16,
        "hidden_act": "quick_gelu",
    }
    text = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 64,
        "max_position_embeddings": 8,
    }
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(7)
    return CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=CLIP_DIM))


def tiny_card(clip_folder: Path, *, large: bool, name: str = "tiny") -> BundleCard:
    """Card of the tiny bundle, every part present."""
    return BundleCard(
        name=name,
        description="Tiny random model for tests",
        created="2026-01-01",
        egomon_version=egomon.__version__,
        licence="Apache-2.0",
        frame_encoder=tiny_clip_card(clip_folder).recorded(),
        small=SmallCard(width=16, steps=("take", "place", "fasten")),
        large=LargeEncoderCard(
            weights="bundle", frames=4, frame_px=64, max_tokens=64, dim=LARGE_DIM
        )
        if large
        else None,
        large_width=16,
        gate=GateCard(width=8) if large else None,
        stream=StreamCard(fps=4.0, fine_frames=8, context_frames=16),
        guard=GuardCard(limit=10.0),
        activity_width=8,
    )


def tiny_tensors(card: BundleCard, seed: int = 0) -> Tensors:
    """Random weights of every part that the card has, with the bundle's prefixes."""
    dim = card.frame_encoder.dim
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        modules: dict[str, torch.nn.Module] = {"small": ContextBranch(dim, card.small)}
        if card.activity_width:
            modules["activity"] = ActivityModule(dim, card.activity_width)
        if card.large is not None:
            modules["large_head"] = LargeHead(card.large.dim, card.large_width)
        if card.large is not None and card.gate is not None:
            gate = AdaptiveGate(card.small.width, card.large.dim, card.gate)
            torch.nn.init.normal_(gate.gate.weight)
            modules["gate"] = gate
    tensors = {
        f"{part}.{name}": value
        for part, module in modules.items()
        for name, value in to_arrays(module.state_dict()).items()
    }
    if card.guard is not None:
        frames = np.random.default_rng(seed).normal(size=(64, 8, dim)).astype(np.float32)
        guard = fit_guard(list(frames))
        tensors |= {f"guard.{name}": value for name, value in guard.tensors().items()}
    return tensors


def build_tiny_bundle(folder: Path, *, large: bool = True, seed: int = 0) -> Path:
    """A complete bundle in `folder/tiny`: CLIP tower, heads, gate, guard, activity, Qwen3-VL."""
    import msgspec

    clip = build_tiny_clip(folder / "clip", seed)
    card = tiny_card(clip, large=large)
    encoder = build_frame_encoder(card.frame_encoder)
    assert isinstance(encoder, TowerEncoder)
    pinned = msgspec.structs.replace(card.frame_encoder, weights_sha256=encoder.weights_sha256)
    card = msgspec.structs.replace(card, frame_encoder=pinned)
    qwen = build_tiny_qwen3vl(folder / "qwen", seed) if large else None
    return save_bundle(folder / "tiny", card, tiny_tensors(card, seed), qwen)
