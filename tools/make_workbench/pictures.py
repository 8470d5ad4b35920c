"""Stage 1: a pool of single pictures in pairs, each with all that the simulator knows of it.

The encoders learn to see from these. Pictures are rendered at the size of the videos and damaged
as a video codec would damage them; the later stages use frames that went through H.264 itself.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from egomon.train.simulator.annotate import THINGS, PartState, caption, state, things
from egomon.train.simulator.plan import EXECUTION, PlannedStep
from egomon.train.simulator.record import RenderedRecording
from egomon.train.simulator.shapes import CARDS, PARTS

RENDER_PX, SMALL_PX, LARGE_PX = 224, 96, 128
PAIRS_PER_WORLD = 4
PAIR_SECONDS = 0.25
"""Distance of the two pictures of a pair: that of a 16-frame clip of a four-second step."""
CHUNK_WORLDS = 250
CAPTION_LENGTH = 96

RESIZE = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)


def damaged(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Damage a picture as lossy video does: blocks, ringing and half the colour resolution."""
    if rng.random() < 0.15:
        return image
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 92))]
    done = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
    return np.asarray(done, np.uint8)


def shrink(image: NDArray[np.uint8], size_px: int, how: int = cv2.INTER_AREA) -> NDArray[np.uint8]:
    """Resize a square picture; smoothed first where the method does not do so itself."""
    if how != cv2.INTER_AREA and image.shape[0] > 1.4 * size_px:
        image = np.asarray(
            cv2.GaussianBlur(image, (0, 0), 0.3 * image.shape[0] / size_px), np.uint8
        )
    return np.asarray(cv2.resize(image, (size_px, size_px), interpolation=how), np.uint8)


def _world(rng: np.random.Generator) -> RenderedRecording:
    """A short recording: one card, two steps; more mistakes than in life."""
    kinds = (None, *EXECUTION)
    steps = [
        PlannedStep(int(rng.integers(len(PARTS))), kinds[int(rng.integers(len(kinds)))])
        for _ in range(2)
    ]
    return RenderedRecording([int(rng.integers(len(CARDS)))], steps, rng, 8.0)


def _times(world: RenderedRecording, rng: np.random.Generator) -> NDArray[np.float64]:
    """First times of the pairs; mostly within steps, where there is something to see."""
    times = []
    for _ in range(PAIRS_PER_WORLD):
        span = world.steps[int(rng.integers(len(world.steps)))]
        low, high = span.t_start, span.t_end
        if rng.random() < 0.18:
            low, high, _ = world.card_spans[0]
        elif rng.random() < 0.12:
            low, high = span.t_end, span.t_end + 0.4
        times.append(rng.uniform(low, high))
    return np.array(times)


def _chunk(folder: Path, number: int, seed: int) -> None:
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, 1, number])
    small, large, places, states, texts = [], [], [], [], []
    for _ in range(CHUNK_WORLDS):
        world = _world(rng)
        starts = _times(world, rng)
        times = np.stack([starts, starts + PAIR_SECONDS], axis=1).ravel()
        for t, image in zip(times.tolist(), world.frames(RENDER_PX, times), strict=True):
            moment = world.moment(t)
            seen = damaged(image, rng)
            how = RESIZE[int(rng.integers(len(RESIZE)))]
            small.append(shrink(seen, SMALL_PX, how))
            large.append(shrink(seen, LARGE_PX, how))
            places.append(things(world, moment, t))
            states.append(state(world, moment))
            texts.append(caption(world, moment, rng))
    count = len(small) // 2
    target = folder / f"{number:04d}"
    np.save(f"{target}-small.npy", np.stack(small).reshape(count, 2, SMALL_PX, SMALL_PX, 3))
    np.save(f"{target}-large.npy", np.stack(large).reshape(count, 2, LARGE_PX, LARGE_PX, 3))
    np.savez(
        f"{target}-what.npz",
        places=np.stack(places).reshape(count, 2, THINGS, 2),
        states=np.array(states, np.float32).reshape(count, 2, len(PartState._fields)),
        texts=np.array(texts, f"U{CAPTION_LENGTH}").reshape(count, 2),
    )


def make(folder: Path, chunks: int, seed: int, processes: int) -> None:
    """Render the pool; chunks that exist are kept.

    Args:
        folder: Where the chunks go.
        chunks: Each holds 1000 pairs.
        seed: Chunk numbers and this seed decide every picture.
        processes: How many render at once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    todo = [n for n in range(chunks) if not (folder / f"{n:04d}-what.npz").exists()]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for future in [pool.submit(_chunk, folder, n, seed) for n in todo]:
            future.result()


class Pictures:
    """The finished pool, memory mapped."""

    def __init__(self, folder: Path, chunks: int, size: str) -> None:
        names = [folder / f"{n:04d}" for n in range(chunks)]
        self._images = [np.load(f"{name}-{size}.npy", mmap_mode="r") for name in names]
        whats = [np.load(f"{name}-what.npz") for name in names]
        self.places = np.concatenate([what["places"] for what in whats])
        self.states = np.concatenate([what["states"] for what in whats])
        self.texts = np.concatenate([what["texts"] for what in whats])
        for what in whats:
            what.close()
        self._chunk = len(self._images[0])

    def __len__(self) -> int:
        return len(self.places)

    def images(self, pairs: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(B,) pair numbers to (B, 2, S, S, 3) RGB."""
        return np.stack([self._images[p // self._chunk][p % self._chunk] for p in pairs.tolist()])

    def single(self, pairs: NDArray[np.int64], which: NDArray[np.int64]) -> NDArray[np.uint8]:
        """One picture of each pair: (B,) pair numbers and 0 or 1 to (B, S, S, 3)."""
        size, images = self._chunk, self._images
        places = zip(pairs.tolist(), which.tolist(), strict=True)
        return np.stack([images[p // size][p % size, w] for p, w in places])
