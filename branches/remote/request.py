"""Requests to vLLM's `/v1/embeddings`: one clip as JPEG frames with their times."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from egomon.branches.bundle.card import LargeEncoderCard
from egomon.branches.uemcm.clip_frames import STAMP_FPS, full_instruction, stamps_ms
from egomon.stream.pictures.jpeg import FINE, jpeg_of


def embedding_request(
    card: LargeEncoderCard, model: str, frames: NDArray[np.uint8], times: Sequence[float]
) -> bytes:
    """JSON body that asks for the vector of one clip.

    The conversation, the frame numbers and the pixel budget make the server's processor give the
    tokens that `Qwen3VLEmbedder` gives to a local model.

    Args:
        card: instruction, and the square that fixes the pixel budget.
        model: name under which the server serves the model.
        frames: (T, S, S, 3) RGB, from `resampled_clip`.
        times: their T seconds from the clip's start.
    """
    pixels = card.frames * card.frame_px**2
    body: dict[str, Any] = {
        "model": model,
        "encoding_format": "float",
        "add_special_tokens": False,
        "messages": [
            {
                "role": "system",
                "content": [{"type": "text", "text": full_instruction(card)}],
            },
            {
                "role": "user",
                "content": [{"type": "video_url", "video_url": {"url": _data_url(frames)}}],
            },
        ],
        "media_io_kwargs": {
            "video": {
                "num_frames": -1,  # all of them: 32 is the most otherwise
                "fps": STAMP_FPS,
                "frames_indices": stamps_ms(times),
                "total_num_frames": len(frames),
            }
        },
        "mm_processor_kwargs": {
            "do_sample_frames": False,
            "cap_pixels_per_frame": False,
            "size": {"shortest_edge": pixels, "longest_edge": pixels},
        },
    }
    return msgspec.json.encode(body)


def _data_url(frames: NDArray[np.uint8]) -> str:
    # Colour in full: halved, as JPEG has it otherwise, it costs .002 of the cosine.
    jpegs = (jpeg_of(frame, quantizer=FINE, full_colour=True) for frame in frames)
    return "data:video/jpeg;base64," + ",".join(base64.b64encode(jpeg).decode() for jpeg in jpegs)
