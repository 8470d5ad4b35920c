"""Qwen3-VL-Embedding as a frozen clip encoder phi_l: frames of one segment to one unit vector.

The processor's defaults do not fit short clips: without metadata it assumes 24 frames a second and
keeps 4 of 32 frames; its template repeats the vision markers; its pixel budget shrinks frames.
All of that is pinned here, and checked on the way out.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from egomon.branches.bundle.card import LargeEncoderCard
from egomon.branches.bundle.card_check import visual_tokens
from egomon.branches.bundle.hub import hub_access, offline_hint
from egomon.branches.bundle.large_weights import check_large_weights
from egomon.branches.bundle.locate import LARGE_FOLDER
from egomon.branches.encoders.torch_setup import pick_device, pick_dtype
from egomon.branches.interfaces import Float32
from egomon.branches.uemcm.clip_frames import (
    STAMP_FPS,
    full_instruction,
    resampled_clip,
    stamps_ms,
)
from egomon.errors import BundleError
from egomon.stream.frame import UInt8Image

log = logging.getLogger(__name__)

# Of Qwen3-VL's vision tower; 2 x 2 patches make a token.
_PATCH_PX = 16


class Qwen3VLEmbedder:
    """Embeds clips of a fixed number of square frames; the model is frozen."""

    def __init__(self, card: LargeEncoderCard, model: Any, processor: Any) -> None:
        self.card = card
        self.model, self.processor = model, processor
        width = model.config.get_text_config().hidden_size
        if card.dim > width:
            raise BundleError(
                f"field `large.dim` is {card.dim}, but {card.weights} gives {width} values"
            )
        # The pooled token decides the vector; which one it is depends on the tokenizer's files.
        last = processor.tokenizer(prompt(card))["input_ids"][-1]
        log.info("%s pools token %d after the prompt", card.weights, last)

    @classmethod
    def load(
        cls, card: LargeEncoderCard, folder: Path, *, device: str = "auto", dtype: str = "auto"
    ) -> Qwen3VLEmbedder:
        """Load model and processor.

        Args:
            card: weights are `bundle` (the folder `large/`), a folder or a hub id.
            folder: the bundle; relative paths start here.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            dtype: `auto` (as stored: bfloat16 in the published weights), `float32`, `bfloat16`.

        Raises:
            BundleError: if the weights cannot be had, are of another model, or have another hash.
        """
        where = _address(card.weights, folder)
        number_format = "auto" if dtype == "auto" else pick_dtype(dtype)
        target = pick_device(device)
        try:
            with hub_access():
                model, processor = _read(where, number_format)
        except BundleError:
            raise
        except Exception as error:  # transformers raises whatever its parts raise
            raise BundleError(
                f"the large model {card.weights!r} cannot be loaded: {error}; {offline_hint()}, "
                "or give a local folder in the field `large.weights`, or run with --no-large"
            ) from error
        check_large_weights(card, folder)
        return cls(card, model.to(target).eval().requires_grad_(False), processor)

    @torch.inference_mode()
    def embed(
        self, clips: Sequence[Sequence[UInt8Image]], times: Sequence[Sequence[float]]
    ) -> Float32:
        """Embed a batch; a clip in a batch gives the vector that it gives alone.

        Args:
            clips: each some (H, W, 3) uint8 RGB frames, any number and size: see `resampled_clip`.
            times: for each clip the seconds of its frames from the clip's start.

        Returns:
            (N, dim) unit vectors h_l.

        Raises:
            ValueError: if a clip is empty or has another number of times.
            BundleError: if a vector is not finite.
        """
        pairs = [resampled_clip(c, t, self.card) for c, t in zip(clips, times, strict=True)]
        if not pairs:
            return np.empty((0, self.card.dim), np.float32)
        inputs = self._inputs([frames for frames, _ in pairs], [stamps for _, stamps in pairs])
        inputs = inputs.to(self.model.device)
        hidden = self.model(**inputs, use_cache=False).last_hidden_state
        last = _last_attended(inputs["attention_mask"])
        pooled = hidden[torch.arange(len(hidden), device=hidden.device), last].float()
        # Matryoshka: the leading values are a vector of their own, so cut first.
        vectors: Float32 = F.normalize(pooled[:, : self.card.dim], dim=-1).cpu().numpy()
        if not np.isfinite(vectors).all():
            raise BundleError(
                f"{self.card.weights} gave a vector that is not finite; use --dtype float32"
            )
        return vectors

    def _inputs(self, clips: list[NDArray[np.uint8]], times: list[list[float]]) -> Any:
        from transformers.video_utils import VideoMetadata

        # With these bounds the processor scales none: all have the card's size already.
        pixels = [len(clip) * self.card.frame_px**2 for clip in clips]
        inputs = self.processor(
            text=[prompt(self.card)] * len(clips),
            videos=clips,
            video_metadata=[
                VideoMetadata(
                    total_num_frames=len(stamps),
                    fps=STAMP_FPS,
                    frames_indices=stamps_ms(stamps),
                )
                for stamps in times
            ],
            do_sample_frames=False,
            cap_pixels_per_frame=False,
            size={"shortest_edge": min(pixels), "longest_edge": max(pixels)},
            padding=True,
            return_tensors="pt",
        )
        side = self.card.frame_px // _PATCH_PX
        grids = [[len(clip) // 2, side, side] for clip in clips]
        if inputs["video_grid_thw"].tolist() != grids:
            raise BundleError(
                f"the processor of {self.card.weights} cut clips to patches "
                f"{inputs['video_grid_thw'].tolist()} instead of {grids}; at most "
                f"{visual_tokens(self.card)} visual tokens a clip were expected"
            )
        return inputs


def prompt(card: LargeEncoderCard) -> str:
    """The embedding prompt; a bare video pad, as the processor adds the vision markers itself."""
    return (
        f"<|im_start|>system\n{full_instruction(card)}<|im_end|>\n"
        "<|im_start|>user\n<|video_pad|><|im_end|>\n<|im_start|>assistant\n"
    )


def _last_attended(mask: Tensor) -> Tensor:
    """(B, L) to the position of the last token that is no padding, whichever side is padded."""
    return mask.shape[1] - 1 - mask.flip(1).argmax(dim=1)


def _address(weights: str, folder: Path) -> str:
    if weights == "bundle":
        path = folder / LARGE_FOLDER
        if not (path / "config.json").is_file():
            raise BundleError(
                f"field `large.weights` is 'bundle', but {path} has no config.json; "
                "copy the bundle again, or run with --no-large"
            )
        return str(path)
    path = folder / weights
    return str(path) if path.is_dir() else weights


def _read(where: str, dtype: Any) -> tuple[Any, Any]:
    import transformers

    if not sys.stderr.isatty():
        quiet: Any = transformers.utils.logging
        quiet.disable_progress_bar()
    local = Path(where).is_dir()
    config = transformers.AutoConfig.from_pretrained(where, local_files_only=local)
    if config.model_type != "qwen3_vl":
        raise BundleError(
            f"{where} is a {config.model_type} model, not qwen3_vl; give a Qwen3-VL-Embedding model"
        )
    model, report = transformers.AutoModel.from_pretrained(
        where,
        output_loading_info=True,
        dtype=dtype,
        attn_implementation="sdpa",
        use_safetensors=True,  # never unpickle
        local_files_only=local,
    )
    absent = sorted(report["missing_keys"]) + sorted(map(str, report["mismatched_keys"]))
    if absent:  # transformers would go on with random values
        raise BundleError(
            f"{where} lacks {len(absent)} of the model's weights, such as {absent[0]}"
        )
    loader: Any = transformers.AutoProcessor
    return model, loader.from_pretrained(where, padding_side="right", local_files_only=local)
