"""The frames of a clip that the large model sees: the same for a local model and for a server."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from egomon.branches.bundle.card import LargeEncoderCard
from egomon.branches.encoders.preprocess import ImagePreparer
from egomon.stream.frame import Segment, UInt8Image

STAMP_FPS = 1000.0
"""Frames are numbered in milliseconds, so that the processor writes their true times."""


def resample_clip(
    card: LargeEncoderCard, clip: Sequence[UInt8Image], times: Sequence[float]
) -> tuple[NDArray[np.uint8], list[float]]:
    """Always T frames, evenly picked (repeated where there are fewer): constant cost.

    Args:
        card: number of frames T and side S of their square.
        clip: (H, W, 3) uint8 RGB frames of any number and size.
        times: their seconds from the clip's start.

    Returns:
        (T, S, S, 3) frames and their T times.

    Raises:
        ValueError: if the clip is empty or has another number of times.
    """
    if len(clip) == 0 or len(clip) != len(times):
        raise ValueError(f"a clip has {len(clip)} frames and {len(times)} times")
    prepare = ImagePreparer(card.frame_px, "squash")
    picked = np.linspace(0, len(clip) - 1, num=card.frames).astype(int).tolist()
    prepared = {i: prepare(clip[i]) for i in set(picked)}
    return np.stack([prepared[i] for i in picked]), [float(times[i]) for i in picked]


def stamps_ms(times: Sequence[float]) -> list[int]:
    """Frame numbers on the processor's clock of `STAMP_FPS`: whole milliseconds from the start."""
    return [round(STAMP_FPS * max(t, 0.0)) for t in times]


def full_sentence(instruction: str) -> str:
    """An instruction with the full stop that the published models were trained with."""
    return instruction if not instruction or instruction[-1] in ".!?" else f"{instruction}."


def clip_of(segment: Segment) -> tuple[list[UInt8Image], list[float]]:
    """Each frame's `detail`, or `image` where there is none, and its seconds from the start.

    Raises:
        ValueError: if the segment holds no frames.
    """
    if not segment.frames:
        raise ValueError(f"segment {segment.index} holds no frames, only their times")
    clip = [f.image if f.detail is None else f.detail for f in segment.frames]
    return clip, [f.t_seconds - segment.t_start for f in segment.frames]
