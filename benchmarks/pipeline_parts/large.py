"""The large branch: what it looks at, and whether the small one has to wait for it."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from egomon.branches.bundle.card import LargeEncoderCard
from egomon.branches.load_bundle import Bundle, load_bundle
from egomon.branches.uemcm.large_branch import Qwen3VLBranch
from egomon.stream.frame import Frame, Segment
from pipeline_parts import models
from pipeline_parts.bench import Bench
from pipeline_parts.figures import Measured
from pipeline_parts.spent import percentile
from pipeline_parts.video import PacedCamera
from pipeline_parts.watch import ALWAYS, delays, receiver, spans_file, watch


def _bundle(bench: Bench, name: str, *, width: int, layers: int) -> Bundle:
    card = LargeEncoderCard(weights="bundle", frames=32, frame_px=224, dim=width)
    qwen = models.qwen_folder(bench.folder / f"qwen-{name}", width=width, layers=layers)
    whole = msgspec.structs.replace(models.vit_card("ViT-S-32", large=card), large_width=16)
    return load_bundle(models.make_bundle(bench.folder / name, whole, qwen), device="cpu")


def tokens(bench: Bench) -> dict[str, Measured]:
    """Visual tokens that the model is really given, counted on its way in."""
    bundle = _bundle(bench, "tokens", width=128, layers=1)
    branch = bundle.load_large()
    assert isinstance(branch, Qwen3VLBranch)
    counts: list[int] = []

    def count(module: Any, args: Any, inputs: dict[str, Any]) -> None:
        counts.append(int((inputs["input_ids"] == module.config.video_token_id).sum()))

    branch.embedder.model.register_forward_pre_hook(count, with_kwargs=True)
    branch.score(_segment(frames=60, size=(720, 1280)))
    card = bundle.card.large
    assert card is not None
    budget = card.frames // 2 * (card.frame_px // 32) ** 2
    return {"large_tokens_over_budget": Measured(counts[0] / budget, {"tokens": counts[0]})}


def _segment(frames: int, size: tuple[int, int]) -> Segment:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (*size, 3), np.uint8)
    times = np.arange(frames) / 30
    held = tuple(Frame(picture, None, float(t), 0, 0, i, 0) for i, t in enumerate(times))
    return Segment(0, "cam", 0.0, frames / 30, 0, times, held)


def isolation(bench: Bench) -> dict[str, Measured]:
    """Alerts of the small branch, sent at once, while the large one revises them; and without."""
    bundle = _bundle(bench, "isolation", width=256 if bench.quick else 768, layers=4)
    without, beside = [], []
    refined = 0
    for _ in range(1 if bench.quick else 3):
        without += _provisional(bench, bundle, use_large=False)[0]
        found, done = _provisional(bench, bundle, use_large=True)
        beside += found
        refined += done
    base, late = percentile(without, 0.99), percentile(beside, 0.99)
    detail = {
        "p99_ms": late,
        "p99_ms_without": base,
        "p50_ms": percentile(beside, 0.5),
        "p50_ms_without": percentile(without, 0.5),
        "refined": refined,
        "alerts": len(beside),
    }
    return {"large_isolation": Measured(late / base, detail)}


def _provisional(bench: Bench, bundle: Bundle, *, use_large: bool) -> tuple[list[float], int]:
    """Delays of the first word on each segment, in ms; and how many the large branch revised."""
    seconds = 6.0 if bench.quick else 18.0
    noted, work = models.noted(bundle)
    camera = PacedCamera(bench.long_film, seconds=seconds)
    # So many that a single hiccup of the machine does not decide the 99th percentile.
    spans = spans_file(bench.folder / "spans.jsonl", seconds, 0.25)
    with receiver() as other:
        summary = watch(
            bench,
            noted,
            [camera],
            publish=other.endpoint,
            model={"large": use_large, "threads": 1},
            segments={"file": spans, "policy": "given"},
            decision={**ALWAYS, "threshold_fused": 0.0, "emit": "provisional"},
        )
    found = delays(other.alerts, camera, work, bundle.card.stream.fps)
    return [delay.total_ms for delay in found], summary.refine.get("ok", 0)
