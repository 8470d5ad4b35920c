"""What extraction costs, in CPU milliseconds: decoding, frames for the large branch, its tokens.

    python -m benchmarks.extraction_cost

CPU time, not wall time, so that other work on the machine does not count. The large model is the
bundled one of `workbench`: tokens are those of any Qwen3-VL, milliseconds are its own.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np

from egomon.branches.bundle.card import LargeEncoderCard
from egomon.branches.bundle.locate import find_bundle, read_card
from egomon.branches.encoders.preprocess import ImagePreparer
from egomon.branches.uemcm.clip_frames import resampled_clip
from egomon.branches.uemcm.qwen3_vl import Qwen3VLEmbedder
from egomon.stream.frame import UInt8Image
from egomon.stream.sources.open import open_source

WIDE, HIGH, RATE, FRAMES = 1280, 720, 30, 120
CASES = (
    ("grid, repeated, squashed to 224", 2, {"frame_px": 224}),
    ("grid, official, 384", 2, {"frame_px": 384, "crop": "letterbox", "rules": "official"}),
    ("source, official, 384", 15, {"frame_px": 384, "crop": "letterbox", "rules": "official"}),
    ("the same, 32 frames", 32, {"frame_px": 384, "crop": "letterbox", "rules": "official"}),
)
"""Frames of an action of 0.5 s: two at 4 frames/s, 15 at 30."""


def main() -> None:
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        video = write_video(Path(folder) / "v.mp4", rng, FRAMES)
        decoded = cpu_ms(lambda: read(video, None)) / FRAMES
        prepare = ImagePreparer(384, "letterbox")
        converted = cpu_ms(lambda: read(video, prepare)) / FRAMES - decoded
    print(f"decode {WIDE} x {HIGH} H.264: {decoded:.1f} ms a frame")
    print(f"to RGB and letterbox to 384: {converted:.1f} ms a frame")
    folder = find_bundle("workbench")
    large = read_card(folder).large
    assert large is not None
    print(f"{'clip of 0.5 s':34}{'frames':>8}{'tokens':>8}{'ms':>8}")
    for name, count, changes in CASES:
        fields: dict[str, Any] = {"frames": 32, "max_tokens": 4096, **changes}
        embedder = Qwen3VLEmbedder.load(msgspec.structs.replace(large, **fields), folder)
        clip = [rng.integers(0, 256, (HIGH, WIDE, 3), dtype=np.uint8) for _ in range(count)]
        print(f"{name:34}" + "".join(f"{value:8.0f}" for value in clip_cost(embedder, clip)))


def clip_cost(embedder: Qwen3VLEmbedder, clip: list[UInt8Image]) -> tuple[int, int, float]:
    """Frames that the model sees, its tokens, and CPU milliseconds of an embedding."""
    times = np.linspace(0, 0.5, len(clip)).tolist()
    card: LargeEncoderCard = embedder.card
    frames, stamps = resampled_clip(clip, times, card)
    tokens = int(embedder._inputs([frames], [stamps])["input_ids"].shape[1])
    embedder.embed([clip], [times])
    return len(frames), tokens, cpu_ms(lambda: embedder.embed([list(frames)], [stamps]))


def cpu_ms(work: Callable[[], object]) -> float:
    """CPU milliseconds of all threads."""
    before = time.process_time()
    work()
    return (time.process_time() - before) * 1000


def read(video: Path, prepare: ImagePreparer | None) -> None:
    with open_source(str(video), kind="file") as source:
        while (grab := source.read()) is not None:
            if prepare is not None:
                prepare(grab.to_rgb())


def write_video(path: Path, rng: np.random.Generator, count: int) -> Path:
    picture = rng.integers(0, 256, (HIGH // 8, 2 * WIDE // 8, 3), dtype=np.uint8).repeat(8, 0)
    picture = picture.repeat(8, 1)
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDE, HIGH, "yuv420p"
        for k in range(count):
            shown = np.ascontiguousarray(np.roll(picture, -8 * k, 1)[:, :WIDE])
            out.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        out.mux(stream.encode(None))
    return path


if __name__ == "__main__":
    main()
