"""A replay against its parts: bare models, bare decoding, and the naive way of doing it."""

from __future__ import annotations

import statistics
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray

from egomon.branches.load_bundle import Bundle
from egomon.branches.threads import usable_cores
from egomon.branches.workflow_context import WorkflowContext
from egomon.monitor import Monitor, RunSummary, SourceRequest
from egomon.monitor.workers.inference_worker import MICRO_BATCH
from egomon.stream.frame import UInt8Image
from pipeline_parts import models
from pipeline_parts.bench import Bench
from pipeline_parts.figures import Measured
from pipeline_parts.naive import naive_segment
from pipeline_parts.spent import Spent, middle, spent
from pipeline_parts.video import decode_all


def run_replay(
    bench: Bench, bundle: Bundle, path: Path, threads: int, *, large: bool = True
) -> tuple[RunSummary, Spent]:
    """One replay as fast as it goes; its time begins when the first frame may be read."""
    chosen = models.settings(bench.folder, model={"threads": threads, "large": large})
    found: list[RunSummary] = []
    monitor = Monitor([SourceRequest.of("film", str(path))], chosen, bundle=bundle)
    took = spent(lambda: found.append(monitor.run()))
    return found[0], Spent(found[0].wall_seconds, took.cpu_seconds)


def pictures_of(path: Path, count: int, every: int) -> list[UInt8Image]:
    """`count` pictures of a video, evenly spaced."""
    found: list[UInt8Image] = []
    with av.open(str(path)) as container:
        for i, frame in enumerate(container.decode(video=0)):
            if i % every == 0:
                found.append(frame.to_ndarray(format="rgb24"))
            if len(found) == count:
                break
    return found


def bare_loop(bundle: Bundle, images: NDArray[np.uint8], frames: int, segments: int) -> None:
    """Encoder and head alone, as often as a replay needs them."""
    card = bundle.card
    context = WorkflowContext(
        card.frame_encoder.dim,
        max_seconds=card.stream.context_max_seconds,
        context_frames=card.stream.context_frames,
    )
    encoder, fps, scored = bundle.encoder, card.stream.fps, 0
    assert encoder is not None
    for first in range(0, frames, MICRO_BATCH):
        count = min(MICRO_BATCH, frames - first)
        vectors = encoder.encode(images[np.arange(first, first + count) % len(images)])
        times = np.arange(first, first + count) / fps
        context.append(times, vectors)
        end = float(times[-1]) + 1 / fps
        while scored * frames < (first + count) * segments:
            clip = context.clip(max(0.0, end - 2), end, card.stream.fine_frames)
            bundle.small.score(clip, context.view(end))
            scored += 1


def compare(
    bench: Bench, bundle: Bundle, path: Path, *, repeats: int
) -> tuple[RunSummary, Spent, Spent, Spent]:
    """Replay, bare models for as many frames, and bare decoding, in turn; medians.

    Without the large branch: the bare loop is encoder and head.
    """
    threads = bench.threads
    torch.set_num_threads(threads)
    images = models.prepared(bundle, pictures_of(path, 4 * MICRO_BATCH, 15))
    summary, _ = run_replay(
        bench, bundle, path, threads, large=False
    )  # the first is warmer: not counted
    frames, segments = summary.frames["encoded"], summary.segments
    part = 3 if repeats > 1 else 1  # a third of the bare loop before and after each replay

    def bare() -> Spent:
        took = spent(lambda: bare_loop(bundle, images, frames // part, max(1, segments // part)))
        return Spent(took.wall_seconds * part, took.cpu_seconds * part)

    replays, loops, decodes = [], [bare()], []
    for _ in range(repeats):
        replays.append(run_replay(bench, bundle, path, threads, large=False)[1])
        loops.append(bare())
        decodes.append(spent(lambda: decode_all(path)))
    return summary, middle(replays), middle(loops), middle(decodes)


def replay(bench: Bench) -> dict[str, Measured]:
    """ViT-B/32 over a file, and the naive way over the same file."""
    bundle = bench.vit
    summary, ours, bare, decoding = compare(bench, bundle, bench.film, repeats=bench.repeats)
    floor = decoding.cpu_seconds + bare.cpu_seconds
    each = ours.cpu_seconds / summary.segments
    ends = [summary.media_seconds - 2 * i for i in range(1 if bench.quick else 2)]
    naive = [naive_segment(bundle, bench.film, end) for end in ends]
    whole = statistics.median(n.cpu_seconds for n in naive)
    in_ram = statistics.median(n.cpu_seconds - n.reading_seconds for n in naive)
    return {
        "pipeline_over_encoder": over_encoder(bench, summary, ours, bare),
        "cpu_overhead": Measured(
            (ours.cpu_seconds - floor) / floor,
            {
                "replay_cpu": ours.cpu_seconds,
                "decode_cpu": decoding.cpu_seconds,
                "models_cpu": bare.cpu_seconds,
            },
        ),
        "naive_over_pipeline_cpu": Measured(whole / each, {"naive": whole, "ours": each}),
        "naive_ram_over_pipeline_cpu": Measured(in_ram / each, {"naive": in_ram, "ours": each}),
    }


def workbench(bench: Bench) -> dict[str, Measured]:
    """The bundled encoder over rendered work."""
    repeats = 1 if bench.quick else 5
    summary, ours, bare, _ = compare(bench, bench.workbench, bench.work_film, repeats=repeats)
    return {"workbench_over_encoder": over_encoder(bench, summary, ours, bare)}


def once(bench: Bench) -> dict[str, Measured]:
    """How often a frame is encoded."""
    bundle, work = models.noted(bench.workbench)
    summary, _ = run_replay(bench, bundle, bench.work_film, bench.threads)
    points = distinct_points(bench.work_film, bundle.card.stream.fps)
    detail = {"encoded": work.frames, "grid_points": points, "reported": summary.frames["encoded"]}
    return {"encodes_per_frame": Measured(work.frames / points, detail)}


def distinct_points(path: Path, fps: float) -> int:
    """Sampling points that have a frame, counted from the file's own times."""
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times[0] is not None
    return len({int((t - times[0]) * fps + 1e-3) for t in times if t is not None})


def over_encoder(bench: Bench, summary: RunSummary, ours: Spent, bare: Spent) -> Measured:
    """Speed of a replay over that of its models alone."""
    return Measured(
        bare.wall_seconds / ours.wall_seconds,
        {
            "frames": summary.frames["encoded"],
            "replay_seconds": ours.wall_seconds,
            "bare_seconds": bare.wall_seconds,
            "threads": bench.threads,
            "cores": usable_cores(),
        },
    )
