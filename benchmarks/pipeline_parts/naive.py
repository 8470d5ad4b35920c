"""How clips are scored without any of this: the published CLIP4Clip pattern for each segment.

For each of 32 frames of the whole video so far and 32 of the segment: set the position, read,
PIL transform. Then all 64 through the tower, and the head. Nothing is kept for the next segment.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import open_clip
import torch
from PIL import Image

from egomon.branches.encoders.clip_tower import create
from egomon.branches.interfaces import ClipView, ContextView
from egomon.branches.load_bundle import Bundle

FRAMES = 32
BATCH = 8
SEGMENT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class NaiveCost:
    """CPU of one segment."""

    cpu_seconds: float
    reading_seconds: float
    """Of that, seeking and decoding: what frames held in RAM would save."""


_towers: dict[str, tuple[torch.nn.Module, Any]] = {}


def _tower(bundle: Bundle) -> tuple[torch.nn.Module, Any]:
    card = bundle.card.frame_encoder
    if card.architecture not in _towers:
        visual = create(card.architecture, seed=0).eval()
        transform = open_clip.image_transform(card.image_px, is_train=False)
        _towers[card.architecture] = (visual, transform)
    return _towers[card.architecture]


@torch.inference_mode()
def naive_segment(bundle: Bundle, path: Path, t_end: float) -> NaiveCost:
    """Score the segment that ends at `t_end` seconds, from the file alone."""
    tower, transform = _tower(bundle)
    begin = time.process_time()
    capture = cv2.VideoCapture(str(path))
    fps = capture.get(cv2.CAP_PROP_FPS)
    last = t_end * fps - 1
    numbers = np.concatenate(
        [
            np.linspace(0, last, FRAMES),
            np.linspace(max(0.0, last - SEGMENT_SECONDS * fps + 1), last, FRAMES),
        ]
    ).astype(int)
    reading, inputs = 0.0, []
    for number in numbers.tolist():
        before = time.process_time()
        capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        good, picture = capture.read()
        reading += time.process_time() - before
        if not good:
            raise RuntimeError(f"{path}: frame {number} cannot be read")
        rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        inputs.append(transform(Image.fromarray(rgb)))
    capture.release()
    batches = [torch.stack(inputs[i : i + BATCH]) for i in range(0, len(inputs), BATCH)]
    vectors = torch.cat([tower(batch) for batch in batches]).numpy()
    times = numbers / fps
    coarse, fine = vectors[:FRAMES], vectors[FRAMES:]
    bundle.small.score(
        ClipView(fine, times[FRAMES:], t_end - SEGMENT_SECONDS, t_end),
        ContextView(coarse, times[:FRAMES], 0.0, t_end),
    )
    return NaiveCost(time.process_time() - begin, reading)
