"""Stages that do not need each other, side by side: half of the cores each.

A torch operation of these small networks gains little from a second core, two of them gain all.
"""

from __future__ import annotations

import logging
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from tools.make_workbench.run import WorkbenchSize, Workshop, timed

PHASES = (
    (("tower", "rendered"), ("eyes", "rendered")),
    (("seen",), ("seen",)),
    (("activity", "small"), ("qwen",)),
)
"""Each phase needs what the phases before it made; the stages of a lane follow each other. What
both lanes name they share: they begin at its two ends, so neither waits for the other."""


def run_lanes(cache: Path, size: WorkbenchSize, processes: int, seed: int) -> None:
    """Everything up to both branches, into the cache folder."""
    shop = Workshop(cache, size, processes, seed)
    _ = shop.pool
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for number, lanes in enumerate(PHASES, start=1):
            with timed(f"phase {number} of {len(PHASES)}"):
                tasks = [
                    pool.submit(_run_lane, cache, size, processes // 2, seed, lane, side == 1)
                    for side, lane in enumerate(lanes)
                ]
                for task in tasks:
                    task.result()


def _run_lane(
    cache: Path,
    size: WorkbenchSize,
    threads: int,
    seed: int,
    stages: tuple[str, ...],
    backwards: bool,
) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    torch.set_num_threads(threads)
    shop = Workshop(cache, size, threads, seed, backwards=backwards)
    for stage in stages:
        getattr(shop, stage)
