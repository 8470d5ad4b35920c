"""Runs independent stages in two processes: half of the cores each.

A torch operation of these small networks gains little from a second core, two of them gain all.
"""

from __future__ import annotations

import logging
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from tools.make_workbench.run import WorkbenchSize, WorkbenchTraining, timed

PHASES = (
    (("tower", "rendered"), ("vision", "rendered")),
    (("encoded",), ("encoded",)),
    (("activity", "small"), ("qwen",)),
)
"""Phases of two processes each, which run their stages in order. A phase needs the results of the
phases before it. A stage in both processes is shared: they begin at its two ends, so none waits."""


def run_parallel(cache: Path, size: WorkbenchSize, processes: int, seed: int) -> None:
    """Train everything up to both branches, into the cache folder."""
    training = WorkbenchTraining(cache, size, processes, seed)
    _ = training.pool
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for number, halves in enumerate(PHASES, start=1):
            with timed(f"phase {number} of {len(PHASES)}"):
                tasks = [
                    pool.submit(_run_stages, cache, size, processes // 2, seed, stages, side == 1)
                    for side, stages in enumerate(halves)
                ]
                for task in tasks:
                    task.result()


def _run_stages(
    cache: Path,
    size: WorkbenchSize,
    threads: int,
    seed: int,
    stages: tuple[str, ...],
    backwards: bool,
) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    torch.set_num_threads(threads)
    training = WorkbenchTraining(cache, size, threads, seed, backwards=backwards)
    for stage in stages:
        getattr(training, stage)
