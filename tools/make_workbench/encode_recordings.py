"""Stage 3: recordings that went through the codec, seen through the real sampling grid.

A bank recording shows all training cards, every part done rightly and some done badly; the later
stages splice its pieces into many plans. All other recordings are continuous, as a user's are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from egomon.branches.encoders.preprocess import ImagePreparer
from egomon.branches.encoders.workbench import KeyPointTower
from egomon.stream.sampling_grid import SamplingGrid
from egomon.train.simulator.annotate import state
from egomon.train.simulator.plan import EXECUTION, MISTAKES, SEEN, UNSEEN, PlannedStep
from egomon.train.simulator.record import RenderedRecording, record
from egomon.train.simulator.shapes import PARTS
from egomon.train.simulator.write import write_video
from tools.make_workbench.networks.tower import normalised
from tools.make_workbench.pictures import LARGE_PX, RENDER_PX, SMALL_PX

FPS = 8.0
"""Sampling grid of the bundle."""
KINDS = ("ok", *MISTAKES)
RECIPES = SEEN + UNSEEN


@dataclass(frozen=True, slots=True)
class RecordingCache:
    """A set of recordings to make."""

    name: str
    count: int
    mistake_rate: float = 0.06
    bank: bool = False
    unseen: bool = False
    video_fps: float = FPS
    salt: int = 0
    """Part of the seed: every set has recordings of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class BankedRecording:
    """One recording as the models see it."""

    path: Path
    """Without suffix; pixels lie beside it."""
    recipe: int
    """Index into RECIPES; for a bank recording -1."""
    seconds: float
    times: NDArray[np.float64]
    """(N,)."""
    spans: NDArray[np.float64]
    """(K, 2) start and end of each step, seconds."""
    parts: NDArray[np.int64]
    """(K,) part of each step."""
    kinds: NDArray[np.int64]
    """(K,) index into KINDS."""
    cards: NDArray[np.float64]
    """(C, 3): start, end, sign."""
    states: NDArray[np.float32]
    """(N, 7) state of each frame in the simulator (`annotate.PartState`)."""
    vectors: NDArray[np.float16]
    """(N, D) frame vectors."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """(K,) 1 = mistake."""
        return (self.kinds > 0).astype(np.int64)

    def active(self) -> NDArray[np.bool_]:
        """(N,) True while a step is going on."""
        inside = (self.times[:, None] >= self.spans[:, 0]) & (
            self.times[:, None] < self.spans[:, 1]
        )
        return np.asarray(inside.any(axis=1))

    def pixels(self) -> NDArray[np.uint8]:
        """(N, 128, 128, 3) RGB, memory mapped: what the large branch sees."""
        return np.asarray(np.load(f"{self.path}-large.npy", mmap_mode="r"))


def read_frames(path: Path) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Decode a video and keep the frames on the sampling grid: (seconds, RGB)."""
    grid = SamplingGrid(FPS)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        first: float | None = None
        for frame in container.decode(stream):
            at = float(frame.time or 0.0)
            first = at if first is None else first
            if grid.accepts(at - first):
                yield at - first, np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def _bank_plan(rng: np.random.Generator) -> list[PlannedStep]:
    right = [PlannedStep(part, None) for part in range(len(PARTS))]
    kinds = [*EXECUTION, EXECUTION[int(rng.integers(len(EXECUTION)))]]
    wrong = [PlannedStep(int(rng.integers(len(PARTS))), kind) for kind in kinds]
    steps = right + wrong
    return [steps[i] for i in rng.permutation(len(steps))]


def _make(folder: Path, recording_set: RecordingCache, number: int, seed: int) -> None:
    target = folder / f"{recording_set.name}-{number:04d}"
    if Path(f"{target}-what.npz").exists():
        return
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    rng = np.random.default_rng([seed, 100 + recording_set.salt, number + 1])
    recipe = int(rng.integers(4)) + (4 if recording_set.unseen else 0)
    if recording_set.bank:
        recording = RenderedRecording(
            [w.card for w in SEEN], _bank_plan(rng), rng, recording_set.video_fps
        )
        recipe = -1
    else:
        recording = record(
            RECIPES[recipe], rng, recording_set.mistake_rate, recording_set.video_fps
        )
    video = Path(f"{target}-{os.getpid()}.mp4")  # two processes may meet at one recording
    write_video(video, recording.frames(RENDER_PX), recording_set.video_fps)
    to_small, to_large = ImagePreparer(SMALL_PX), ImagePreparer(LARGE_PX)
    times, small, large = [], [], []
    for t_seconds, image in read_frames(video):
        times.append(t_seconds)
        small.append(to_small(image))
        large.append(to_large(image))
    video.unlink()
    np.save(f"{target}-small.npy", np.stack(small))
    np.save(f"{target}-large.npy", np.stack(large))
    kinds = [KINDS.index(s.step.mistake or "ok") for s in recording.steps]
    np.savez(
        f"{target}-what.npz",
        recipe=recipe,
        seconds=recording.seconds,
        times=np.array(times),
        spans=np.array([(s.t_start, s.t_end) for s in recording.steps]),
        parts=np.array([s.step.part for s in recording.steps]),
        kinds=np.array(kinds),
        states=np.array([state(recording, recording.moment(t)) for t in times], np.float32),
        cards=np.array(recording.card_spans),
    )


def make(
    folder: Path,
    recording_sets: list[RecordingCache],
    seed: int,
    processes: int,
    *,
    backwards: bool = False,
) -> None:
    """Render, encode, decode and resize; recordings that exist are kept.

    Two callers may share the work: one goes `backwards`, and they meet.
    """
    folder.mkdir(parents=True, exist_ok=True)
    todo = [
        (recording_set, number)
        for recording_set in recording_sets
        for number in range(recording_set.count)
    ]
    todo = todo[::-1] if backwards else todo
    if processes == 1:
        for item in todo:
            _make(folder, *item, seed)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for future in [pool.submit(_make, folder, *item, seed) for item in todo]:
            future.result()


@torch.inference_mode()
def encode(tower: KeyPointTower, images: NDArray[np.uint8]) -> NDArray[np.float16]:
    """(N, S, S, 3) to (N, D), in the half precision in which the stream keeps them."""
    batches = range(0, len(images), 128)
    out = [tower(normalised(np.array(images[i : i + 128]), SMALL_PX)) for i in batches]
    return torch.cat(out).half().numpy()


def encode_all(
    folder: Path,
    recording_sets: list[RecordingCache],
    tower: KeyPointTower,
    *,
    backwards: bool = False,
) -> None:
    """Vectors of all frames, kept beside the recordings; those that exist are kept."""
    targets = [
        folder / f"{recording_set.name}-{number:04d}"
        for recording_set in recording_sets
        for number in range(recording_set.count)
    ]
    for target in targets[::-1] if backwards else targets:
        path = Path(f"{target}-vectors.npy")
        if not path.exists():
            np.save(path, encode(tower, np.load(f"{target}-small.npy", mmap_mode="r")))


def load(folder: Path, recording_set: RecordingCache) -> list[BankedRecording]:
    """The finished reel, rendered and seen.

    Raises:
        FileNotFoundError: one of both is not done.
    """
    recordings = []
    for number in range(recording_set.count):
        target = folder / f"{recording_set.name}-{number:04d}"
        with np.load(f"{target}-what.npz") as what:
            recordings.append(
                BankedRecording(
                    target, int(what["recipe"]), float(what["seconds"]), what["times"],
                    what["spans"], what["parts"], what["kinds"], what["cards"], what["states"],
                    np.load(f"{target}-vectors.npy"),
                )
            )  # fmt: skip
    return recordings
