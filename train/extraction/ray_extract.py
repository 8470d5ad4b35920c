"""Extraction on a Ray cluster: Ray Data gives recordings to actors, each with its own encoders.

An actor stores a recording as one process does, in a folder or bucket that all nodes reach, and
tells only how it went. So whatever Ray does again after a node was lost is either done or goes on.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from egomon import errors
from egomon.errors import EgomonError, UsageError
from egomon.extras import needs_extra
from egomon.train.extraction.extract_encoders import EncoderChoice
from egomon.train.extraction.extract_worker import (
    CUDA_BATCH,
    CUDA_JOBS,
    ExtractOptions,
    ExtractWorker,
)
from egomon.train.extraction.find_videos import LabelledVideo
from egomon.train.extraction.output import ExtractionFolder
from egomon.train.extraction.run_record import RecordingResult
from egomon.train.features.encode_pool import BATCH
from egomon.train.features.feature_set import DatasetCard
from egomon.train.features.folders import open_folder

LOCAL = "local"
STORE_BYTES = 256 << 20
"""Of a local cluster's object store; what goes through it is numbers and sentences."""
REACH_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RayOptions:
    """Where, and what each actor gets."""

    address: str
    """`local`, `auto`, `HOST:PORT` or `ray://HOST:PORT`."""
    actors: int | None = None
    """At most so many; None = as many as the cluster has room for."""
    cpus: float = 1.0
    gpus: float = 0.0
    """May be a share: several actors then use one GPU."""

    def check(self) -> None:
        """Refuse values that mean nothing.

        Raises:
            UsageError: naming the option.
        """
        if self.actors is not None and self.actors < 1:
            raise UsageError(f"--ray-actors is {self.actors}; give 1 or more")
        for name, value, least in (("ray-cpus", self.cpus, 0.01), ("ray-gpus", self.gpus, 0.0)):
            if not least <= value < math.inf:
                raise UsageError(f"--{name} is {value}; give {least:g} or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class RayTask:
    """All that an actor needs, in plain values."""

    out: str
    card: DatasetCard
    choice: EncoderChoice
    options: ExtractOptions
    videos: tuple[LabelledVideo, ...]


class ExtractActor:
    """Ray Data's callable class: one on each actor."""

    def __init__(self, task: RayTask) -> None:
        self._videos = task.videos
        self._error: EgomonError | None = None
        try:
            how = task.options.device, task.options.dtype
            base = task.choice.open_base(*how)
            embedder = task.choice.open_large(base, *how)
            folder = ExtractionFolder(open_folder(task.out), task.card)
            self._worker = ExtractWorker(folder, base.encoder, embedder, task.options)
        except EgomonError as error:
            self._error = error  # Ray would try for ever to start this actor

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        """Extract the videos of these numbers; a `RecordingResult` or an error for each."""
        told: list[bytes] = []
        try:
            if self._error is not None:
                raise self._error
            videos = [self._videos[int(number)] for number in batch["id"]]
            for result in self._worker.extract_all(videos):
                told.append(msgspec.json.encode({"result": result}))
        except EgomonError as error:
            about = {"error": str(error), "kind": type(error).__name__}
            told.append(msgspec.json.encode(about))
        return {"told": told}


def connect(options: RayOptions) -> None:
    """Reach the cluster, or start a local one, before anything is written.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: the cluster is not reached, or has no room for an actor.
    """
    with needs_extra("--ray", "ray"):
        import ray
        import ray.data
    # Ray tells of lost nodes on stdout, which belongs to the report.
    with redirect_stdout(sys.stderr):
        _connect(ray, options)
        try:
            _check_room(ray.cluster_resources(), options)
        except UsageError:
            ray.shutdown()
            raise


def extract_on_ray(
    ray_options: RayOptions, task: RayTask, quiet: bool
) -> Iterator[RecordingResult]:
    """Results as they come, in any order; `connect` comes before.

    Args:
        ray_options: where.
        task: what.
        quiet: without Ray's own progress.

    Raises:
        EgomonError: as `ExtractWorker.extract`, from the first actor that fails.
    """
    import ray
    import ray.data

    with redirect_stdout(sys.stderr):
        yield from _map(ray, ray_options, task, quiet)


def _map(
    ray: Any, ray_options: RayOptions, task: RayTask, quiet: bool
) -> Iterator[RecordingResult]:
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = not quiet
        jobs = task.options.chosen_jobs
        blocks = math.ceil(len(task.videos) / jobs)
        # Not `range`, which needs a CPU to count: the actors may have them all.
        items = [{"id": number} for number in range(len(task.videos))]
        numbers = ray.data.from_items(items, override_num_blocks=max(1, blocks))
        room = _room(ray.cluster_resources(), ray_options)
        most = max(1, min(ray_options.actors or room, blocks))
        told = numbers.map_batches(
            ExtractActor,
            fn_constructor_args=(task,),
            batch_size=jobs,
            # Ray adds no actor to a pool whose actors have one task each: all begin at once, and
            # more only where the cluster itself grows.
            compute=ray.data.ActorPoolStrategy(
                min_size=min(most, room), max_size=most, max_tasks_in_flight_per_actor=1
            ),
            num_cpus=ray_options.cpus,
            num_gpus=ray_options.gpus,
        )
        for row in told.iter_rows():
            yield _result(row["told"])
    finally:
        ray.shutdown()


def _connect(ray: Any, options: RayOptions) -> None:
    # Ray would report the use of a cluster that it starts to its makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if options.address == LOCAL:
        settings |= {"include_dashboard": False, "object_store_memory": STORE_BYTES}
    host, _, port = options.address.removeprefix("ray://").rpartition(":")
    try:
        if host and port.isdigit():  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), REACH_SECONDS).close()
        ray.init(address=options.address, **settings)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise UsageError(
            f"Ray at {options.address!r} cannot be reached ({_first_line(error)}); start one "
            "there, or take --ray local"
        ) from error


def _room(resources: dict[str, float], options: RayOptions) -> int:
    """Actors that fit on the cluster."""
    room = resources.get("CPU", 0.0) / options.cpus
    if options.gpus:
        room = min(room, resources.get("GPU", 0.0) / options.gpus)
    return int(room)


def _check_room(resources: dict[str, float], options: RayOptions) -> None:
    if not _room(resources, options):
        raise UsageError(
            f"the cluster has {resources.get('CPU', 0):g} CPUs and {resources.get('GPU', 0):g} "
            f"GPUs, but an actor asks for {options.cpus:g} and {options.gpus:g}: change --ray-cpus "
            "or --ray-gpus"
        )


def _result(told: bytes) -> RecordingResult:
    about = msgspec.json.decode(told)
    if "error" in about:
        kind = getattr(errors, about["kind"], EgomonError)
        raise kind(about["error"])
    return msgspec.convert(about["result"], RecordingResult)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def on_ray(options: ExtractOptions | None, ray_options: RayOptions) -> ExtractOptions:
    """Options of each actor, decided here: this machine may have no accelerator, or another.

    Raises:
        UsageError: an option that means nothing.
    """
    ray_options.check()
    given = options or ExtractOptions()
    gpu = ray_options.gpus > 0
    return replace(
        given,
        device="cpu" if given.device == "auto" and not gpu else given.device,
        batch=given.batch or (CUDA_BATCH if gpu else BATCH),
        jobs=given.jobs or (CUDA_JOBS if gpu else 1),
        threads=max(1, int(ray_options.cpus)),
    )
