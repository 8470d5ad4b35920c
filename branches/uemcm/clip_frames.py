"""A segment's frames, and its instruction, as the large model takes them, local or on a server."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from egomon.branches.bundle.card import LargeEncoderCard
from egomon.branches.encoders.preprocess import ImagePreparer
from egomon.branches.frame_sampling import uniform_indices
from egomon.stream.frame import Segment, UInt8Image

STAMP_FPS = 1000.0
"""Frames are numbered in milliseconds, so that the processor writes their true times."""
DEFAULT_INSTRUCTION = "Represent the user's input."
"""Of the published models, where there is none."""


def clip_of(segment: Segment) -> tuple[list[UInt8Image], list[float]]:
    """Pictures (H, W, 3) of a segment for the large branch, and their seconds from its start.

    Raises:
        ValueError: the segment holds no frames.
    """
    if segment.clip:
        details = segment.clip
        return [d.image for d in details], [d.t_seconds - segment.t_start for d in details]
    if not segment.frames:
        raise ValueError(f"segment {segment.index} holds no frames, only their times")
    clip = [f.image if f.detail is None else f.detail for f in segment.frames]
    return clip, [f.t_seconds - segment.t_start for f in segment.frames]


def resampled_clip(
    clip: Sequence[UInt8Image], times: Sequence[float], card: LargeEncoderCard
) -> tuple[NDArray[np.uint8], list[float]]:
    """At most T frames, evenly picked, as squares.

    With the rules `fixed` always T: frames are repeated where there are fewer, so each clip costs
    the same. With `official` no frame is, but for the last of an odd number: frames go in pairs.

    Args:
        clip: some (H, W, 3) uint8 RGB frames, any number and size.
        times: their seconds from the clip's start.
        card: the large branch's.

    Returns:
        (T, S, S, 3) frames or fewer, an even number, and their times.

    Raises:
        ValueError: the clip is empty or has another number of times.
    """
    if len(clip) == 0 or len(clip) != len(times):
        raise ValueError(f"a clip has {len(clip)} frames and {len(times)} times")
    prepare = ImagePreparer(card.frame_px, card.crop)
    if card.rules == "fixed":
        picked = np.linspace(0, len(clip) - 1, num=card.frames).astype(int).tolist()
    else:
        picked = uniform_indices(len(clip), card.frames).tolist()
        picked += picked[-1:] * (len(picked) % 2)
    prepared = {i: prepare(clip[i]) for i in set(picked)}
    return np.stack([prepared[i] for i in picked]), [float(times[i]) for i in picked]


def full_instruction(card: LargeEncoderCard) -> str:
    """The instruction as the prompt has it, ending like a sentence.

    `official`: blanks around it are cut off, any punctuation of Unicode ends it, and an empty one
    is the published models' own, as in the authors' code.
    """
    text = card.instruction
    if card.rules == "official":
        text = text.strip() or DEFAULT_INSTRUCTION
        return text if unicodedata.category(text[-1]).startswith("P") else f"{text}."
    return text if not text or text[-1] in ".!?" else f"{text}."


def stamps_ms(times: Sequence[float]) -> list[int]:
    """Frame numbers on the processor's clock of `STAMP_FPS`: whole milliseconds from the start."""
    return [round(STAMP_FPS * max(t, 0.0)) for t in times]
