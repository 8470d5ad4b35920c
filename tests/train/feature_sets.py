"""Small feature sets with a known answer, for tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from egomon.branches.bundle.card import FrameEncoderCard, LargeEncoderCard
from egomon.train.features.feature_set import DatasetCard, FeatureSet, Track
from egomon.train.features.rows import SegmentRow
from egomon.train.features.write_feature_set import write_feature_set

DIM = 16
STEPS = ("lift", "turn", "press", "close")
ROWS = 6
LARGE = LargeEncoderCard(weights="none", frames=4, frame_px=64, max_tokens=64, dim=12)
ENCODER = FrameEncoderCard(library="none", architecture="test", image_px=1, dim=DIM)


def workshop(
    recordings: int = 24, seed: int = 0, noise: float = 0.15, odd_look: float = 0.8
) -> FeatureSet:
    """Recordings of four steps in order; a mistake is a step out of order or with a wrong look."""
    generator = np.random.default_rng(seed)
    looks = np.random.default_rng(99).normal(size=(len(STEPS) + 1, DIM))
    rows: list[SegmentRow] = []
    tracks: dict[str, Track] = {}
    for number in range(recordings):
        name = f"rec{number:02d}"
        order = list(range(len(STEPS)))
        swapped = number % 2 == 1
        if swapped:
            order[1], order[2] = order[2], order[1]
        vectors = []
        for place, step in enumerate(order):
            odd = swapped and generator.random() < 0.3
            look = looks[step] + (odd_look * looks[-1] if odd else 0)
            vectors.append(look + noise * generator.normal(size=(ROWS, DIM)))
            wrong = odd or (swapped and place == 1)
            rows.append(
                SegmentRow(
                    recording=name,
                    start=float(place * ROWS),
                    end=float((place + 1) * ROWS),
                    label=int(wrong),
                    split="val" if number % 4 < 2 and number < recordings // 2 else "train",
                    tags=("odd",) if odd else ("order",) if wrong else (),
                    text=STEPS[step],
                    workflow="bench",
                )
            )
        stacked = np.concatenate(vectors).astype(np.float16)
        tracks[name] = Track(np.arange(len(stacked), dtype=np.float64), stacked)
    card = DatasetCard(name="workshop", licence="CC0", encoder=ENCODER, fps=1.0, dim=DIM)
    return FeatureSet(card, tuple(rows), lambda name: tracks[name], "workshop")


def with_large(data: FeatureSet, seed: int = 0) -> FeatureSet:
    """With large-branch vectors that tell a wrong look, but nothing of the order."""
    odd = np.random.default_rng(98).normal(size=LARGE.dim)
    generator = np.random.default_rng(seed)
    vectors = {}
    for row in data.segments:
        raw = generator.normal(size=LARGE.dim) + (2 * odd if "odd" in row.tags else 0)
        vectors[row.recording, row.start] = (raw / np.linalg.norm(raw)).astype(np.float32)
    return replace(
        data,
        card=msgspec.structs.replace(data.card, large=LARGE),
        large=lambda row: vectors[row.recording, row.start],
    )


def write_workshop(folder: Path, recordings: int = 24) -> Path:
    """The same as a folder."""
    return write_feature_set(folder, workshop(recordings))
