"""Many cameras, and many programs: what is lost, what is shared, what gets in each other's way."""

from __future__ import annotations

import statistics

import numpy as np
import torch

from egomon.branches.load_bundle import Bundle
from egomon.branches.threads import choose_threads
from pipeline_parts import models
from pipeline_parts.bench import Bench
from pipeline_parts.figures import Measured
from pipeline_parts.spent import busy_cores, percentile, spent
from pipeline_parts.video import FPS, PacedCamera
from pipeline_parts.watch import watch

CAMERAS = 8


def capture(bench: Bench) -> dict[str, Measured]:
    """Eight cameras beside an encoder with more to do than it can, and beside none."""
    seconds = 5.0 if bench.quick else 42.0
    beside = _cameras(bench, seconds)
    watch(bench, bench.vit, beside, threads=bench.threads)
    alone = _cameras(bench, seconds / 2)
    watch(bench, models.free(bench.vit), alone, threads=bench.threads)
    late, base = (percentile(_lateness(cameras), 0.99) for cameras in (beside, alone))
    frames = sum(len(camera.lateness_ms) for camera in beside)
    return {
        "capture_frames_lost": Measured(
            float(sum(camera.lost for camera in beside)), {"frames": frames}
        ),
        "capture_jitter_ratio": Measured(
            late / base,
            {
                "p99_ms": late,
                "p99_ms_alone": base,
                "p50_ms": percentile(_lateness(beside), 0.5),
                "p50_ms_alone": percentile(_lateness(alone), 0.5),
            },
        ),
    }


def _cameras(
    bench: Bench, seconds: float, count: int = CAMERAS, fps: float = 4.0
) -> list[PacedCamera]:
    """Cameras that are not in step: their sampled frames come evenly spread."""
    return [
        PacedCamera(bench.long_film, f"cam{i}", seconds=seconds, phase_seconds=i / count / fps)
        for i in range(count)
    ]


def _lateness(cameras: list[PacedCamera]) -> list[float]:
    return [ms for camera in cameras for ms in camera.lateness_ms[FPS:]]


def cameras(bench: Bench) -> dict[str, Measured]:
    """CPU of eight cameras in one process, over eight times that of a process with one."""
    seconds, turns = (5.0, 1) if bench.quick else (10.0, 2)
    one, eight = [], []
    for _ in range(turns):
        eight.append(_cpu_a_second(bench, bench.small_vit, CAMERAS, seconds))
        one.append(_cpu_a_second(bench, bench.small_vit, 1, seconds))
    together, single = statistics.median(eight), statistics.median(one)
    detail = {"cores_8_cameras": together, "cores_1_camera": single}
    return {"cameras8_over_single": Measured(together / (CAMERAS * single), detail)}


def _cpu_a_second(bench: Bench, bundle: Bundle, count: int, seconds: float) -> float:
    """CPU of the process, after its first second."""
    cameras = _cameras(bench, seconds, count, bundle.card.stream.fps)
    watch(bench, bundle, cameras)
    first = cameras[0]
    last = first.cpu_marks[-1][0]
    return first.cpu_seconds(FPS, last) / ((last - FPS) / FPS)


def busy(bench: Bench) -> dict[str, Measured]:
    """Encoder frames a second with our threads and with one, beside programs on all cores."""
    encoder = bench.vit.encoder
    assert encoder is not None
    images = np.random.default_rng(0).integers(0, 255, (8, 224, 224, 3), np.uint8)

    def with_threads(threads: int) -> float:
        torch.set_num_threads(threads)
        return spent(lambda: encoder.encode(images)).wall_seconds

    choices = {
        "one": 1,
        "live": choose_threads(None, live=True),
        "replay": choose_threads(None, live=False),
    }
    seconds: dict[str, list[float]] = {name: [] for name in choices}
    with busy_cores():
        for _ in range(2 if bench.quick else 6):
            for name, threads in choices.items():
                seconds[name].append(with_threads(threads))
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    ratios = {name: middle["one"] / middle[name] for name in ("live", "replay")}
    detail = {"threads": choices, "over_one_thread": ratios}
    return {"busy_defaults_over_one_thread": Measured(min(ratios.values()), detail)}
