"""Extracts recordings one by one into a folder: both encoders, and what is done where one fails."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from threading import Event
from typing import Self

from egomon.branches.interfaces import FrameEncoder
from egomon.branches.threads import usable_cores
from egomon.errors import SourceError, UsageError
from egomon.train.extraction.clips import Embedder, EmbedThread
from egomon.train.extraction.encode_recording import (
    EncoderThreads,
    RecordingHooks,
    encode_recording,
)
from egomon.train.extraction.find_videos import LabelledVideo, Shard
from egomon.train.extraction.output import ExtractionFolder
from egomon.train.extraction.run_record import RecordingResult
from egomon.train.features.encode_pool import BATCH, EncodePool

# An accelerator is idle between smaller batches.
CUDA_BATCH = 64
CUDA_JOBS = 8
"""Videos that are decoded at once at most; more wait for one accelerator."""
FRAMES_PER_CLIP = 8
"""A batch of the large encoder has so many times fewer clips than one of the other has frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractOptions:
    """How an extraction uses the machine; which vectors come out does not depend on it.

    Device, `dtype` and `batch` may change their last digits.
    """

    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`, for both encoders."""
    dtype: str = "auto"
    """Of both encoders: `auto`, `float32`, `bfloat16`; `int8` for the frame encoder alone."""
    batch: int | None = None
    """Frames a call; None = 16, on CUDA 64. Clips a call are an eighth of it."""
    jobs: int | None = None
    """Videos that are read at the same time; None = 1, on CUDA one a core and at most 8."""
    shard: Shard | None = None
    """Only this part of the recordings."""
    skip_damaged: bool = False
    """List damaged videos and go on."""
    threads: int | None = None
    """Of the frame encoder on a CPU; None = one a core."""

    def check(self, *, device: bool = True) -> None:
        """Refuse values that mean nothing.

        Args:
            device: also a device that is not here.

        Raises:
            UsageError: naming the option.
            ConfigError: the device is not there.
        """
        for name in ("batch", "jobs", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name} is {value}; give 1 or more")
        if device and self.device not in ("auto", "cpu"):
            _ = self.on_cuda

    @property
    def on_cuda(self) -> bool:
        """Whether the encoders run on an accelerator.

        Raises:
            ConfigError: the device is not there.
        """
        if self.device == "cpu" or (self.device == "auto" and find_spec("torch") is None):
            return False
        from egomon.branches.encoders.torch_setup import pick_device

        return pick_device(self.device).type == "cuda"

    @property
    def chosen_batch(self) -> int:
        """Frames a call."""
        return self.batch or (CUDA_BATCH if self.on_cuda else BATCH)

    @property
    def chosen_jobs(self) -> int:
        """Videos at the same time."""
        return self.jobs or (min(CUDA_JOBS, usable_cores()) if self.on_cuda else 1)


@dataclass(frozen=True, slots=True, eq=False)
class Listener:
    """Hears how a worker gets on, in any thread."""

    on_frames: Callable[[int], None] = lambda count: None
    """So many more frames were encoded."""
    on_segments: Callable[[int], None] = lambda count: None
    """So many more segments were embedded."""
    on_share: Callable[[str, float], None] = lambda name, share: None
    """A recording is read as far as this share; at 1 it is done."""
    stop: Event = field(default_factory=Event)
    """Set from elsewhere: save what is known and end."""


class ExtractWorker:
    """Both encoders, loaded; `extract` may be called from several threads.

    Args:
        folder: where vectors go.
        encoder: of frames.
        embedder: of clips; None = the large branch's vectors are not made.
        options: of the run.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        folder: ExtractionFolder,
        encoder: FrameEncoder,
        embedder: Embedder | None,
        options: ExtractOptions,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._options, self._clock = folder, options, clock
        self._stack = ExitStack()
        batch = options.chosen_batch
        pool = EncodePool(encoder, batch=batch, threads=1 if options.on_cuda else options.threads)
        self._stack.enter_context(pool)
        large = None
        if embedder is not None:
            clips = max(1, batch // FRAMES_PER_CLIP)
            large = EmbedThread(embedder, clips, options.threads)
            self._stack.enter_context(large)
        self._encoders = EncoderThreads(encoder, pool, folder.card.fps, large)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def extract(self, video: LabelledVideo, listener: Listener) -> RecordingResult:
        """Make what a recording lacks and store it.

        Raises:
            SourceError: the video is damaged, and the options do not say to skip such.
            DataError: the folder cannot be written, or the video is another than it was.
            ExtractionStopped: `listener.stop` was set; what was done is saved.
        """
        large = self._encoders.large is not None
        started = self._clock()
        known = self._folder.known(video, large=large)
        hooks = RecordingHooks(
            on_frames=listener.on_frames,
            on_share=lambda share: listener.on_share(video.name, 0.99 * share),
            save=lambda vectors: self._folder.save(video, vectors),
            stop=listener.stop,
            clock=self._clock,
        )
        try:
            encoded = encode_recording(video, self._encoders, known, hooks)
        except SourceError as error:
            listener.on_share(video.name, 1.0)
            if not self._options.skip_damaged:
                raise SourceError(
                    f"{error}; with --skip-damaged such videos are listed and left out",
                    code=error.code,
                ) from error
            return RecordingResult(video.name, "skipped", reason=str(error))
        made = len(encoded.vectors.large) - len(known.large)
        if encoded.is_new:
            self._folder.finish(video, encoded.vectors, large=large)
        listener.on_segments(made)
        listener.on_share(video.name, 1.0)
        return RecordingResult(
            video.name,
            "encoded" if encoded.is_new else "kept",
            frames=encoded.frames,
            segments=made,
            lost_frames=encoded.lost_frames,
            seconds=round(self._clock() - started, 3),
        )

    def extract_all(
        self, videos: Iterable[LabelledVideo], listener: Listener | None = None
    ) -> Iterator[RecordingResult]:
        """Extract several at the same time; results as they come, the first error ends all.

        Raises:
            EgomonError: as `extract`.
        """
        listener, jobs = listener or Listener(), self._options.chosen_jobs
        waiting = deque(videos)
        with ThreadPoolExecutor(jobs, "extract") as threads:
            running: set[Future[RecordingResult]] = set()
            try:
                while waiting or running:
                    while waiting and len(running) < jobs:
                        running.add(threads.submit(self.extract, waiting.popleft(), listener))
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
            finally:
                listener.stop.set()
