"""`egomon extract`: labelled videos to a feature set, each frame decoded and encoded once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import safetensors.numpy

from egomon.branches.bundle.card import BundleCard
from egomon.branches.bundle.weights import Tensors, part
from egomon.errors import EgomonError
from egomon.train.features.clips import Embedder
from egomon.train.features.extract_large import open_large
from egomon.train.features.extract_worker import ExtractOptions, ExtractWorker, Listener
from egomon.train.features.feature_set import ENCODER_FILE, DatasetCard
from egomon.train.features.find_videos import LabelledVideo, find_videos
from egomon.train.features.output import ExtractionFolder
from egomon.train.features.progress import ExtractionProgress
from egomon.train.features.rows import SegmentRow
from egomon.train.features.run_record import ExtractReport, RecordingResult, write_record
from egomon.train.features.write_feature_set import write_bytes
from egomon.train.teach.base import Base, open_base, open_encoders


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
        clock: monotonic seconds.

    Raises:
        UsageError: `large` without a large branch, or a feature set of another encoder is there.
        DataError: a segment names no video, a row is malformed, or the disk is full.
        SourceError: a video is damaged; with `skip_damaged` only listed in the report.
    """
    options = options or ExtractOptions()
    options.check()
    found_rows, found = find_videos(videos, rows)
    base, embedder, card = _open(model, encoders, large, videos.resolve().name, options)
    folder = ExtractionFolder.begin(out, card)
    _keep_encoder(folder, base.tensors)
    chosen = found if options.shard is None else options.shard.of(found)
    about = {
        "videos": str(videos),
        "model": str(encoders or model),
        "large": embedder is not None,
        "device": options.device,
        "dtype": options.dtype,
        "batch": options.chosen_batch,
        "jobs": options.chosen_jobs,
        "shard": None if options.shard is None else str(options.shard),
    }
    results: list[RecordingResult] = []
    started, before = datetime.now(UTC).astimezone(), clock()

    def end(error: str | None = None) -> ExtractReport:
        seconds = clock() - before
        segments = folder.write_index(found_rows)
        told = sorted(results, key=lambda result: result.name)
        now = datetime.now(UTC).astimezone()
        record = write_record(
            out,
            folder.card,
            about,
            told,
            started=started,
            ended=now,
            seconds=seconds,
            error=error,
        )
        return ExtractReport(out, segments, tuple(told), seconds, record)

    try:
        with (
            ExtractWorker(folder, base.encoder, embedder, options, clock) as worker,
            ExtractionProgress(len(chosen), quiet, clock) as progress,
        ):
            _extract_all(worker, chosen, options.chosen_jobs, progress, results)
    except BaseException as error:
        with suppress(EgomonError):  # the first error is the one to tell
            end(str(error) if isinstance(error, EgomonError) else "interrupted")
        raise
    return end()


def _extract_all(
    worker: ExtractWorker,
    videos: Sequence[LabelledVideo],
    jobs: int,
    progress: ExtractionProgress,
    results: list[RecordingResult],
) -> None:
    """Extract several videos at the same time; the first error ends all."""
    listener = Listener(
        on_frames=progress.on_frames,
        on_segments=progress.on_segments,
        on_share=progress.on_share,
    )
    waiting = deque(videos)
    with ThreadPoolExecutor(jobs, "extract") as threads:
        running: set[Future[RecordingResult]] = set()
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.add(threads.submit(worker.extract, waiting.popleft(), listener))
                done, running = wait(running, return_when=FIRST_COMPLETED)
                results += [future.result() for future in done]
        finally:
            listener.stop.set()


def _open(
    model: str, encoders: Path | None, large: bool | None, name: str, options: ExtractOptions
) -> tuple[Base, Embedder | None, DatasetCard]:
    how = {"device": options.device, "dtype": options.dtype}
    base = open_base(model, **how) if encoders is None else open_encoders(encoders, **how)
    card = _card(base.card, name)
    if large is None:
        large = encoders is not None and base.card.large is not None
    if not large:
        return base, None, card
    large_card, embedder = open_large(base.card, base.folder, **how)
    return base, embedder, msgspec.structs.replace(card, large=large_card)


def _card(bundle: BundleCard, name: str) -> DatasetCard:
    return DatasetCard(
        name=name,
        licence="yours",
        encoder=bundle.frame_encoder,
        fps=bundle.stream.fps,
        dim=bundle.frame_encoder.dim,
    )


def _keep_encoder(folder: ExtractionFolder, tensors: Tensors) -> None:
    """Copy a tower whose weights are only in its bundle, so that `train` can pass it on."""
    if folder.card.encoder.weights == "bundle":
        data = safetensors.numpy.save(part(tensors, "encoder."))
        write_bytes(folder.path / ENCODER_FILE, data)
