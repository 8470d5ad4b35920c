"""Child process: simulated hours of live video through a monitor; prints memory by hour as JSON.

python -m pipeline_parts.hours HOURS FOLDER
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Self

import numpy as np

from egomon.branches.bundle.card import SmallCard
from egomon.branches.load_bundle import Bundle, load_bundle
from egomon.fusion.messages.types import Data, SegmentData
from egomon.monitor import Monitor, SourceRequest
from egomon.monitor.operations.process import rss_bytes
from egomon.stream.frame import Grab, SourceInfo
from pipeline_parts import models

SIDE = 224
FPS = 4.0
UNREAD = 48
"""The camera runs ahead by at most so many frames: the hours are simulated."""


class FastCamera:
    """Gives each frame as soon as the reader is ready for it."""

    info = SourceInfo("cam", "fast", "live", SIDE, SIDE, FPS, None)

    def __init__(self, hours: float) -> None:
        self._count = round(hours * 3600 * FPS)
        self._index = 0
        self._picture = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
        self.monitor: Monitor | None = None
        self._closed = False

    def read(self) -> Grab | None:
        """See `Source`."""
        assert self.monitor is not None
        item = self.monitor.inputs[0]
        item.ready.wait(30)
        with item.buffer.condition:
            item.buffer.condition.wait_for(lambda: item.buffer.unread < UNREAD, timeout=5)
        if self._closed or self._index >= self._count:
            return None
        index, self._index = self._index, self._index + 1
        now = time.monotonic_ns()
        return Grab(index / FPS, now, time.time_ns(), index, 0, lambda: self._picture)

    def close(self) -> None:
        """See `Source`."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class VariedEncoder(models.FreeEncoder):
    """Another vector for each frame, so that memory is really used."""

    def encode(self, images: np.ndarray) -> np.ndarray:
        """See `FrameEncoder`."""
        return np.random.default_rng(len(images)).normal(size=(len(images), self.dim)).astype("f4")


def monitored(hours: float, folder: Path, bundle: Bundle) -> list[tuple[float, float]]:
    """(hours of media, MiB resident) at each segment."""
    samples: list[tuple[float, float]] = []

    def listen(source: str, data: Data) -> None:
        if isinstance(data, SegmentData) and data.segment.id % 10 == 0:
            samples.append((data.segment.media_end / 3600, rss_bytes() / 2**20))

    camera = FastCamera(hours)
    chosen = models.settings(
        folder, threads=1, source={"staleness_seconds": 1e9}, decision={"threshold_small": 0.5}
    )
    request = SourceRequest("cam", "fast", True, camera)
    monitor = Monitor([request], chosen, bundle=bundle, listeners=[listen])
    camera.monitor = monitor
    monitor.run()
    return samples


def main() -> None:
    import dataclasses

    import msgspec

    hours, folder = float(sys.argv[1]), Path(sys.argv[2])
    card = models.vit_card("ViT-B-32")
    card = msgspec.structs.replace(card, small=SmallCard())
    path = models.make_bundle(folder / "hours", card)
    bundle = load_bundle(path, with_encoder=False)

    class Prepared:
        dim, image_px = card.frame_encoder.dim, SIDE

        def prepare(self, rgb: np.ndarray) -> np.ndarray:
            return rgb.copy()

    bundle = dataclasses.replace(bundle, encoder=VariedEncoder(Prepared()))  # type: ignore[arg-type]
    print(json.dumps(monitored(hours, folder, bundle)))


if __name__ == "__main__":
    main()
