"""Frame preparation against open_clip's own transform: likeness and cost."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import av
import numpy as np
import open_clip
import torch
from torchvision.transforms import Compose

from egomon.branches.encoders.preprocess import ImagePreparer
from egomon.stream.sources.decoding.decode import Converter
from pipeline_parts.bench import Bench
from pipeline_parts.figures import Measured

PX = 224


def prepare(bench: Bench) -> dict[str, Measured]:
    """Decoded frames of a 720p video, both ways in turn."""
    torch.set_num_threads(1)
    count = 12 if bench.quick else 40
    with av.open(str(bench.film)) as container:
        frames = [f for i, f in zip(range(count), container.decode(video=0), strict=False)]
    convert, resize = Converter(), ImagePreparer(PX)
    transform = open_clip.image_transform(PX, is_train=False)
    # The transform without its last two steps is what ours is compared with, pixel by pixel.
    picture = Compose([*transform.transforms[:2]])

    def ours(frame: av.VideoFrame) -> object:
        return resize(convert(frame))

    def theirs(frame: av.VideoFrame) -> object:
        return transform(frame.to_image())

    psnr = [
        _psnr(resize(convert(frame)), np.asarray(picture(frame.to_image()).convert("RGB")))
        for frame in frames
    ]
    times = [(_cpu_ms(ours, frame), _cpu_ms(theirs, frame)) for frame in frames]
    ours_ms, pil_ms = (statistics.median(each) for each in zip(*times[2:], strict=True))
    return {
        "preprocess_psnr_db": Measured(min(psnr), {"median_db": statistics.median(psnr)}),
        "preprocess_cpu_over_pil": Measured(
            ours_ms / pil_ms, {"ours_ms": ours_ms, "pil_ms": pil_ms}
        ),
    }


def _cpu_ms(work: Callable[[av.VideoFrame], object], frame: av.VideoFrame) -> float:
    begin = time.process_time()
    work(frame)
    return (time.process_time() - begin) * 1e3


def _psnr(one: np.ndarray, other: np.ndarray) -> float:
    error = np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2)
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))
