"""`egomon extract`: labelled videos to a feature set, each frame decoded and encoded once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import safetensors.numpy

from egomon.branches.bundle.weights import Tensors, part
from egomon.errors import EgomonError
from egomon.train.extraction.extract_encoders import EncoderChoice, card_of
from egomon.train.extraction.extract_worker import ExtractOptions, ExtractWorker, Listener
from egomon.train.extraction.find_videos import LabelledVideo, find_videos
from egomon.train.extraction.output import ExtractionFolder
from egomon.train.extraction.progress import ExtractionProgress
from egomon.train.extraction.ray_extract import RayOptions, RayTask, connect, extract_on_ray, on_ray
from egomon.train.extraction.run_record import ExtractReport, RecordingResult, write_record
from egomon.train.features.feature_set import ENCODER_FILE
from egomon.train.features.folders import absolute
from egomon.train.features.rows import SegmentRow
from egomon.train.features.write_feature_set import write_bytes
from egomon.train.teach.base import Base


def extract(
    videos: Path,
    out: Path,
    *,
    model: str = "workbench",
    encoders: Path | None = None,
    large: bool | None = None,
    rows: Sequence[SegmentRow] | None = None,
    quiet: bool = False,
    options: ExtractOptions | None = None,
    ray: RayOptions | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> ExtractReport:
    """Encode every video that the segments name; an interrupted run goes on where it was.

    A recording's file appears only when it is complete. The index names the recordings that are
    there, also where the run ends early; `runs/` gets a record of each run.

    Args:
        videos: folder of videos with `segments.jsonl`, `segments.csv` or HoloAssist's JSON.
        out: folder of the feature set.
        model: what `open_base` knows: its encoders and sampling rate are used.
        encoders: instead of it, a file of `egomon models new`.
        large: also run the large encoder, one vector a segment; None = where `encoders` names one.
        rows: segments instead of those beside the videos.
        quiet: without a progress bar on stderr.
        options: device, jobs, shard.
        ray: do it on a Ray cluster.
        clock: monotonic seconds.

    Raises:
        UsageError: `large` without a large branch, a feature set of another encoder is there, or
            the cluster is not reached.
        DataError: a segment names no video, a row is malformed, or the disk is full.
        SourceError: a video is damaged; with `skip_damaged` only listed in the report.
    """
    options = (options or ExtractOptions()) if ray is None else on_ray(options, ray)
    options.check(device=ray is None)
    rows, found = find_videos(videos if ray is None else videos.resolve(), rows)
    chosen = found if options.shard is None else options.shard.of(found)
    choice = EncoderChoice(model, encoders, large)
    # On a cluster the actors load encoders of their own, where their accelerators are.
    base = choice.open_base("cpu") if ray else choice.open_base(options.device, options.dtype)
    card = card_of(base.card, choice.large_card(base), videos.resolve().name)
    if ray is not None:
        connect(ray)
    folder = ExtractionFolder.begin(out, card)
    _keep_encoder(folder, base.tensors)
    run = _Run(folder, rows, _about(videos, choice, card.large is not None, options, ray), clock)
    try:
        with ExtractionProgress(len(chosen), quiet, clock) as progress:
            if ray is None:
                results = _here(folder, chosen, base, choice, options, progress, clock)
            else:
                task = RayTask(
                    out=absolute(out),
                    card=folder.card,
                    choice=choice.absolute(),
                    options=options,
                    videos=tuple(chosen),
                )
                results = _told(extract_on_ray(ray, task, quiet), progress)
            for result in results:
                run.results.append(result)
    except BaseException as error:
        with suppress(EgomonError):  # the first error is the one to tell
            run.end(str(error) if isinstance(error, EgomonError) else "interrupted")
        raise
    return run.end()


def _here(
    folder: ExtractionFolder,
    videos: Sequence[LabelledVideo],
    base: Base,
    choice: EncoderChoice,
    options: ExtractOptions,
    progress: ExtractionProgress,
    clock: Callable[[], float],
) -> Iterator[RecordingResult]:
    listener = Listener(
        on_frames=progress.on_frames,
        on_segments=progress.on_segments,
        on_share=progress.on_share,
    )
    embedder = choice.open_large(base, options.device, options.dtype)
    with ExtractWorker(folder, base.encoder, embedder, options, clock) as worker:
        yield from worker.extract_all(videos, listener)


def _told(
    results: Iterator[RecordingResult], progress: ExtractionProgress
) -> Iterator[RecordingResult]:
    """Results of other processes, counted as whole recordings."""
    for result in results:
        progress.on_frames(result.frames)
        progress.on_segments(result.segments)
        progress.on_share(result.name, 1.0)
        yield result


class _Run:
    """What a run did, for the index, the record and the report."""

    def __init__(
        self,
        folder: ExtractionFolder,
        rows: Sequence[SegmentRow],
        about: dict[str, Any],
        clock: Callable[[], float],
    ) -> None:
        self._folder, self._rows, self._about, self._clock = folder, rows, about, clock
        self._started, self._before = datetime.now(UTC).astimezone(), clock()
        self.results: list[RecordingResult] = []

    def end(self, error: str | None = None) -> ExtractReport:
        """Write index and record.

        Args:
            error: the sentence that ended the run early.

        Raises:
            DataError: they cannot be written.
        """
        seconds = self._clock() - self._before
        segments = self._folder.write_index(self._rows)
        told = sorted(self.results, key=lambda result: result.name)
        record = write_record(
            self._folder.path,
            self._folder.card,
            self._about,
            told,
            started=self._started,
            ended=datetime.now(UTC).astimezone(),
            seconds=seconds,
            error=error,
        )
        return ExtractReport(self._folder.path, segments, tuple(told), seconds, record)


def _about(
    videos: Path,
    choice: EncoderChoice,
    large: bool,
    options: ExtractOptions,
    ray: RayOptions | None,
) -> dict[str, Any]:
    about: dict[str, Any] = {
        "videos": str(videos),
        "model": str(choice.encoders or choice.model),
        "large": large,
        "device": options.device,
        "dtype": options.dtype,
        "batch": options.chosen_batch,
        "jobs": options.chosen_jobs,
        "shard": None if options.shard is None else str(options.shard),
    }
    if ray is not None:
        about |= {"ray_actors": ray.actors, "ray_cpus": ray.cpus, "ray_gpus": ray.gpus}
    return about


def _keep_encoder(folder: ExtractionFolder, tensors: Tensors) -> None:
    """Copy a tower whose weights are only in its bundle, so that `train` can pass it on."""
    if folder.card.encoder.weights == "bundle":
        data = safetensors.numpy.save(part(tensors, "encoder."))
        write_bytes(folder.path / ENCODER_FILE, data)
