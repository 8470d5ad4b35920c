"""Bundles to measure with: real architectures, random weights; and models that note their time."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import egomon
from egomon.branches.bundle.card import (
    BundleCard,
    FrameEncoderCard,
    GateCard,
    LargeEncoderCard,
    SmallCard,
    StreamCard,
)
from egomon.branches.interfaces import (
    BranchScore,
    ClipView,
    ContextView,
    Float32,
    FrameEncoder,
    SmallBranch,
)
from egomon.branches.load_bundle import Bundle, load_bundle, save_bundle
from egomon.branches.torch_modules import to_arrays
from egomon.branches.uemcm.heads import ContextBranch, LargeHead
from egomon.config import Settings, load_settings
from egomon.stream.frame import UInt8Image
from egomon.train.fitting.heads.adaptive_gate import AdaptiveGate

DIMS = {"ViT-B-32": 512, "ViT-S-32": 384, "ViT-L-14": 768}
SEGMENT_SECONDS = 2.0
HEADER = SmallCard(header="seqTransf", header_layers=4, header_heads=8)
"""The temporal header of the published pattern."""


def vit_card(architecture: str, *, fps: float = 4.0, large: LargeEncoderCard | None = None) -> Any:
    """Card of a bundle with a random tower of open_clip; one segment every 2 s."""
    dim = DIMS[architecture]
    return BundleCard(
        name=f"bench-{architecture.lower()}",
        description="Random weights, to measure time",
        created="2026-01-01",
        egomon_version=egomon.__version__,
        licence="Apache-2.0",
        frame_encoder=FrameEncoderCard(
            library="open_clip",
            architecture=architecture,
            weights="random:0",
            image_px=224,
            dim=dim,
        ).recorded(),
        small=dataclasses_small(dim),
        large=large,
        gate=None if large is None else GateCard(),
        stream=StreamCard(fps=fps, length_seconds=SEGMENT_SECONDS, stride_seconds=SEGMENT_SECONDS),
    )


def dataclasses_small(dim: int) -> SmallCard:
    """The header with heads of 64 values."""
    import msgspec

    return msgspec.structs.replace(HEADER, header_heads=dim // 64)


def make_bundle(folder: Path, card: BundleCard, large_folder: Path | None = None) -> Path:
    """Write a bundle with random heads."""
    torch.manual_seed(0)
    dim = card.frame_encoder.dim
    modules: dict[str, torch.nn.Module] = {"small": ContextBranch(dim, card.small)}
    if card.large is not None and card.gate is not None:
        modules["large_head"] = LargeHead(card.large.dim, card.large_width)
        modules["gate"] = AdaptiveGate(card.small.width, card.large.dim, card.gate)
    tensors = {
        f"{part}.{name}": value
        for part, module in modules.items()
        for name, value in to_arrays(module.state_dict()).items()
    }
    return save_bundle(folder, card, tensors, large_folder)


def vit_bundle(folder: Path, architecture: str, *, fps: float = 4.0, device: str = "cpu") -> Bundle:
    """A loaded bundle around a tower."""
    path = make_bundle(folder / f"{architecture}-{fps:g}", vit_card(architecture, fps=fps))
    return load_bundle(path, device=device)


def qwen_folder(folder: Path, *, width: int = 128, layers: int = 2) -> Path:
    """A Qwen3-VL of the real architecture with random weights."""
    import transformers
    from tools.make_workbench.networks.qwen import new_model, save_model, token_ids

    _, processor = new_model(0)
    hf: Any = transformers
    tokenizer = processor.tokenizer
    heads = max(2, width // 64)
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_interleaved": True}
    text = {
        "vocab_size": len(tokenizer), "hidden_size": width, "intermediate_size": 3 * width,
        "num_hidden_layers": layers, "head_dim": 64, "num_attention_heads": heads,
        "num_key_value_heads": 2, "max_position_embeddings": 32768,
        "rope_parameters": {**rope, "mrope_section": [16, 8, 8]},
    }  # fmt: skip
    vision = {
        "depth": layers, "hidden_size": width, "intermediate_size": 4 * width, "num_heads": heads,
        "patch_size": 16, "temporal_patch_size": 2, "spatial_merge_size": 2,
        "out_hidden_size": width, "deepstack_visual_indexes": [0],
        "num_position_embeddings": 2304,
    }  # fmt: skip
    ids = token_ids(tokenizer)
    torch.manual_seed(0)
    config = hf.Qwen3VLConfig(
        text_config=text, vision_config=vision, tie_word_embeddings=True, **ids
    )
    save_model(hf.Qwen3VLModel(config), processor, folder)
    return folder


class Work:
    """When models worked, and what it cost."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []
        """(begin, end) in monotonic nanoseconds."""
        self.cpu_seconds: list[tuple[int, float]] = []
        """(begin, CPU of the calling thread): all there is with one torch thread."""
        self.frames = 0

    def note(self, begin_ns: int, cpu_begin: float) -> None:
        """A call that began then ends now."""
        self.calls.append((begin_ns, time.monotonic_ns()))
        self.cpu_seconds.append((begin_ns, time.thread_time() - cpu_begin))

    def within_ns(self, begin_ns: int, end_ns: int) -> int:
        """How much of a span the models worked."""
        return sum(max(0, min(end, end_ns) - max(begin, begin_ns)) for begin, end in self.calls)

    def cpu_between(self, begin_ns: int, end_ns: int) -> float:
        """CPU seconds of the calls that began in a span."""
        return sum(cpu for begin, cpu in self.cpu_seconds if begin_ns <= begin < end_ns)


class NotedEncoder:
    """A frame encoder that notes its calls."""

    def __init__(self, encoder: FrameEncoder, work: Work) -> None:
        self._encoder, self._work = encoder, work
        self.dim, self.image_px = encoder.dim, encoder.image_px
        self.prepare = encoder.prepare

    def encode(self, images: NDArray[np.uint8]) -> Float32:
        """See `FrameEncoder`."""
        begin, cpu = time.monotonic_ns(), time.thread_time()
        vectors = self._encoder.encode(images)
        self._work.note(begin, cpu)
        self._work.frames += len(images)
        return vectors


class NotedSmall:
    """A small branch that notes its calls."""

    def __init__(self, branch: SmallBranch, work: Work) -> None:
        self._branch, self._work = branch, work

    def score(self, clip: ClipView, context: ContextView) -> BranchScore:
        """See `SmallBranch`."""
        begin, cpu = time.monotonic_ns(), time.thread_time()
        score = self._branch.score(clip, context)
        self._work.note(begin, cpu)
        return score


def noted(bundle: Bundle) -> tuple[Bundle, Work]:
    """The same bundle with models that note their calls."""
    assert bundle.encoder is not None
    work = Work()
    encoder, small = NotedEncoder(bundle.encoder, work), NotedSmall(bundle.small, work)
    return dataclasses.replace(bundle, encoder=encoder, small=small), work


class FreeEncoder:
    """Prepares frames as another encoder does, and gives vectors at no cost."""

    def __init__(self, encoder: FrameEncoder) -> None:
        self.dim, self.image_px = encoder.dim, encoder.image_px
        self.prepare = encoder.prepare
        self._row = np.linspace(-1, 1, encoder.dim, dtype=np.float32)

    def encode(self, images: NDArray[np.uint8]) -> Float32:
        """See `FrameEncoder`."""
        return np.tile(self._row, (len(images), 1))


class FreeSmall:
    """A small branch without cost."""

    def score(self, clip: ClipView, context: ContextView) -> BranchScore:
        """See `SmallBranch`."""
        zero = np.zeros(2, np.float32)
        return BranchScore(branch="small", logits=zero, feature=zero, latency_ms=0.0)


def free(bundle: Bundle) -> Bundle:
    """The same bundle without model cost."""
    assert bundle.encoder is not None
    return dataclasses.replace(bundle, encoder=FreeEncoder(bundle.encoder), small=FreeSmall())


def prepared(bundle: Bundle, pictures: list[UInt8Image]) -> NDArray[np.uint8]:
    """(N, S, S, 3): pictures as the encoder eats them."""
    assert bundle.encoder is not None
    return np.stack([bundle.encoder.prepare(picture) for picture in pictures])


def settings(folder: Path, *, threads: int | None = None, **sections: dict[str, Any]) -> Settings:
    """Defaults of a run, its store in a file of its own, its sockets on free ports."""
    run = len(list(folder.glob("events-*.sqlite")))
    return load_settings(
        None,
        {
            "bus": {"publish": ("tcp://127.0.0.1:*",), "control": "none"},
            "store": {"path": str(folder / f"events-{run}.sqlite")},
            "model": {"threads": threads},
            **sections,
        },
    )
