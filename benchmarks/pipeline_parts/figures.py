"""The figures: what each one means, what it should be, and how it came out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Rule = Literal["<=", ">=", "="]


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    key: str
    what: str
    rule: Rule
    aim: float
    group: str
    """Which measurement gives it."""

    def met(self, value: float) -> bool:
        """Whether a value reaches the aim."""
        return {"<=": value <= self.aim, ">=": value >= self.aim, "=": value == self.aim}[self.rule]


@dataclass(slots=True)
class Measured:
    """Outcome of one figure."""

    value: float | None
    detail: dict[str, Any] = field(default_factory=dict)
    """What the figure is made of: the measured times and counts."""
    reason: str | None = None
    """Why there is no value."""


FIGURES = (
    Figure(
        "pipeline_over_encoder",
        "replay, frames/s over a bare loop of encoder and head (ViT-B/32, cores - 1 threads)",
        ">=", 0.95, "replay",
    ),
    Figure(
        "workbench_over_encoder",
        "the same with the bundled tiny encoder, on rendered bench work, small branch alone",
        ">=", 0.85, "workbench",
    ),
    Figure(
        "cpu_overhead",
        "CPU of a replay beyond decoding and models, as a share of those two",
        "<=", 0.05, "replay",
    ),
    Figure("encodes_per_frame", "frames encoded over frames sampled", "=", 1, "once"),
    Figure(
        "naive_over_pipeline_cpu",
        "CPU a segment, seeking and encoding 32 + 32 frames for each, over ours (1-minute stream)",
        ">=", 15, "replay",
    ),
    Figure(
        "naive_ram_over_pipeline_cpu",
        "the same with all frames held in RAM",
        ">=", 6, "replay",
    ),
    Figure(
        "segment_cost_1h_over_1min",
        "CPU of a segment after an hour over after a minute, without the encoder",
        "<=", 1.05, "growth",
    ),
    Figure(
        "rss_mb_per_hour",
        "growth of resident memory, MiB, from 1 minute to 1 hour (context cap)",
        "<=", 16, "memory",
    ),
    Figure("rss_mb_per_hour_after_cap", "the same in the hour after that", "<=", 1, "memory"),
    Figure(
        "alert_latency_ms_p50",
        "last frame decoded to alert received in another process, minus model time",
        "<=", 5, "latency",
    ),
    Figure("alert_latency_ms_p99", "the same, 99th percentile", "<=", 10, "latency"),
    Figure(
        "alert_latency_busy_ms_p99",
        "the same with every core kept busy by other programs",
        "<=", 33, "busy_latency",
    ),
    Figure(
        "eager_over_batch_latency",
        "alert latency, frames encoded as they arrive over at the segment's end",
        "<=", 0.3, "eager",
    ),
    Figure(
        "live_cpu_over_floor",
        "live: CPU of the process over decoding and models",
        "<=", 1.15, "eager",
    ),
    Figure(
        "idle_over_decode",
        "live without model cost: CPU of the process over decoding alone",
        "<=", 1.10, "idle",
    ),
    Figure(
        "capture_frames_lost",
        "frames lost in 10,000 from 8 cameras at 30 fps beside an encoder that never rests",
        "=", 0, "capture",
    ),
    Figure(
        "capture_jitter_ratio",
        "lateness of captured frames, 99th percentile, beside that encoder over without",
        "<=", 1.5, "capture",
    ),
    Figure(
        "busy_defaults_over_one_thread",
        "encoder frames/s, default threads over one thread, all cores busy with other programs",
        ">=", 0.9, "busy",
    ),
    Figure(
        "large_isolation",
        "small branch's alert latency, 99th percentile, large branch running over without",
        "<=", 1.2, "isolation",
    ),
    Figure(
        "large_tokens_over_budget",
        "visual tokens of a refinement over (frames / 2)(px / 32)^2",
        "=", 1, "tokens",
    ),
    Figure(
        "preprocess_psnr_db",
        "resized frames against open_clip's own transform, worst frame",
        ">=", 60, "prepare",
    ),
    Figure(
        "preprocess_cpu_over_pil",
        "decoded frame to encoder input, CPU over the PIL transform (720p)",
        "<=", 1 / 6, "prepare",
    ),
    Figure(
        "live_replay_logit_diff",
        "same file live and replayed: largest difference of a logit",
        "<=", 1e-5, "same",
    ),
    Figure(
        "cameras8_over_single",
        "CPU of 8 cameras at 2 sampled fps in one process over 8 processes (ViT-S/32)",
        "<=", 0.7, "cameras",
    ),
    Figure("bus_cpu_ms", "CPU of one alert: number, store, send; median", "<=", 1, "bus"),
    Figure(
        "alerts_lost",
        "alerts lost by a subscriber that was seen, and by a late one after its snapshot",
        "=", 0, "lost",
    ),
    Figure(
        "help_seconds_over_python", "`egomon --help` minus a bare python, s", "<=", 0.4, "help"
    ),
    Figure(
        "first_segment_over_python_start",
        "start of the command to its first scored segment, over a python with numpy, cv2 and av",
        "<=", 3, "start",
    ),
    Figure(
        "rss_mb_running",
        "most memory of a replay with the bundled models, both branches, MiB",
        "<=", 250, "resident",
    ),
    Figure("install_mb", "`pip install egomon` in a fresh environment, MB", "<=", 350, "install"),
    Figure(
        "install_seconds_over_numpy_opencv",
        "its seconds over those of `pip install numpy opencv-python-headless`, from pip's cache",
        "<=", 3, "install",
    ),
    Figure(
        "gpu_pipeline_over_encoder",
        "ViT-L/14 on a GPU: replay, frames/s over the tower alone",
        ">=", 0.9, "gpu",
    ),
    Figure(
        "gpu_large_over_floor",
        "Qwen3-VL 2B on a GPU: latency of a segment over its FLOP at half the card's peak",
        "<=", 3, "gpu",
    ),
)  # fmt: skip

BY_KEY = {figure.key: figure for figure in FIGURES}


def row_of(figure: Figure, measured: Measured) -> dict[str, Any]:
    """A figure's entry in the JSON object's `rows`."""
    value = measured.value
    row: dict[str, Any] = {
        "figure": figure.what,
        "aim": f"{figure.rule} {figure.aim:.4g}",
        "met": None if value is None else figure.met(value),
    }
    if measured.detail:
        row["detail"] = measured.detail
    if measured.reason:
        row["reason"] = measured.reason
    return row
