"""Figures that need a GPU."""

from __future__ import annotations

import torch

from egomon.branches.load_bundle import Bundle
from pipeline_parts import models
from pipeline_parts.bench import Bench
from pipeline_parts.figures import Measured
from pipeline_parts.replay import compare, over_encoder

FPS = 30.0
"""Every frame is encoded: at fewer, decoding on the CPU would be what is measured."""


def gpu(bench: Bench) -> dict[str, Measured]:
    """Null without one."""
    if not torch.cuda.is_available():
        none = Measured(None, reason="there is no CUDA device here")
        return {"gpu_pipeline_over_encoder": none, "gpu_large_over_floor": none}
    bundle = models.vit_bundle(bench.folder, "ViT-L-14", fps=FPS, device="cuda")
    return {
        "gpu_pipeline_over_encoder": pipeline(bench, bundle),
        "gpu_large_over_floor": Measured(None, reason="not measured yet"),
    }


def pipeline(bench: Bench, bundle: Bundle) -> Measured:
    """Every frame of small pictures through a large tower."""
    summary, ours, bare, _ = compare(bench, bundle, bench.long_film, repeats=bench.repeats)
    return over_encoder(bench, summary, ours, bare)
