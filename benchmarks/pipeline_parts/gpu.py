"""Figures that need a GPU."""

from __future__ import annotations

from pipeline_parts.bench import Bench
from pipeline_parts.figures import Measured


def gpu(bench: Bench) -> dict[str, Measured]:
    """Null without one."""
    reason = "there is no CUDA device here"
    return {
        "gpu_pipeline_over_encoder": Measured(None, reason=reason),
        "gpu_large_over_floor": Measured(None, reason=reason),
    }
