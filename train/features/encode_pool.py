"""Frames to vectors in batches, on all cores; the same frames always share a batch."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

import numpy as np

from egomon.branches.interfaces import Float32, FrameEncoder
from egomon.branches.threads import set_torch_threads, usable_cores
from egomon.stream.frame import UInt8Image

BATCH = 16
WAITING_BATCHES = 2
"""For each thread: so many pictures are held at once."""


class EncodePool:
    """Threads that encode batches of frames, for any number of recordings.

    Each encodes a batch with one thread of torch. That needs no agreement between cores, which a
    small network's layers are too short for, and gives the same digits on any number of cores.

    Args:
        encoder: of the frames.
        batch: frames a call.
        threads: None = one a core; 1 where an accelerator does the work.
    """

    def __init__(
        self, encoder: FrameEncoder, *, batch: int = BATCH, threads: int | None = None
    ) -> None:
        self.batch = batch
        self._encoder = encoder
        threads = threads or usable_cores()
        self.most_waiting = threads * WAITING_BATCHES
        """Batches of a recording that wait before its reader waits for them."""
        self._threads = ThreadPoolExecutor(threads, "encode", lambda: set_torch_threads(1))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def submit(self, images: list[UInt8Image]) -> Future[Float32]:
        """Encode a batch; (B, D) later."""
        return self._threads.submit(self._encoder.encode, np.stack(images))


class FrameBatches:
    """Frames of one recording, in order: keeps vectors, not pixels."""

    def __init__(self, pool: EncodePool) -> None:
        self._pool = pool
        self._futures: deque[Future[Float32]] = deque()
        self._done: list[Float32] = []
        self._images: list[UInt8Image] = []

    def push(self, image: UInt8Image) -> None:
        """Add the next frame; waits where many batches wait already."""
        self._images.append(image)
        if len(self._images) == self._pool.batch:
            self._submit()

    def _submit(self) -> None:
        self._futures.append(self._pool.submit(self._images))
        self._images = []
        while len(self._futures) > self._pool.most_waiting:
            self._done.append(self._futures.popleft().result())

    def finish(self) -> None:
        """Encode what waits, and wait for it."""
        if self._images:
            self._submit()
        while self._futures:
            self._done.append(self._futures.popleft().result())

    def vectors(self) -> list[Float32]:
        """Whole batches (B, D), from the first on as far as they are there."""
        while self._futures and has_result(self._futures[0]):
            self._done.append(self._futures.popleft().result())
        return self._done


def has_result(future: Future[Float32]) -> bool:
    """Whether it is there, without waiting."""
    return future.done() and not future.cancelled() and future.exception() is None
