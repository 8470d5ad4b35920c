"""A segment's frames as the large branch takes them: a fixed number, a fixed size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from egomon.branches.bundle.card import LargeEncoderCard
from egomon.branches.encoders.preprocess import ImagePreparer
from egomon.stream.frame import UInt8Image


def resampled_clip(
    clip: Sequence[UInt8Image], times: Sequence[float], card: LargeEncoderCard
) -> tuple[NDArray[np.uint8], list[float]]:
    """Always T frames, evenly picked (repeated where there are fewer): constant cost.

    Args:
        clip: some (H, W, 3) uint8 RGB frames, any number and size.
        times: their seconds from the clip's start.
        card: the large branch's.

    Returns:
        (T, S, S, 3) squashed frames, and their times.

    Raises:
        ValueError: the clip is empty or has another number of times.
    """
    if len(clip) == 0 or len(clip) != len(times):
        raise ValueError(f"a clip has {len(clip)} frames and {len(times)} times")
    prepare = ImagePreparer(card.frame_px, "squash")
    picked = np.linspace(0, len(clip) - 1, num=card.frames).astype(int).tolist()
    prepared = {i: prepare(clip[i]) for i in set(picked)}
    return np.stack([prepared[i] for i in picked]), [float(times[i]) for i in picked]
