"""Scaling with antialiasing as torch does it on uint8, byte for byte, in NumPy.

Both filter the rows, round to uint8, filter the columns and round again, with weights of 16 bits.
Here a pass is a few small matrix products: pixels and weights are whole numbers, so float32 sums
them exactly (up to 2^24; past it, for scales above about 4, a rare sum is off by one part in 2^17).
Where torch has been loaded anyway its own kernel, a fifth of the time, gives the same bytes.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from egomon.branches.bundle.card import Interpolation
from egomon.branches.interfaces import Float32, Float64
from egomon.stream.frame import UInt8Image

# Outputs of one product: fewer cost calls, more multiply zeros.
_OUTPUTS = 16
# Multiplications up to which OpenBLAS stays in its caller's thread; others of its threads would
# spin between products and cost ten times as much.
_SINGLE_THREAD = 1 << 18
# As Pillow: 8 bits of a pixel, 2 for overshoot of the filter, 22 left of 32.
_MOST_BITS = 22


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Outputs `start` to `stop` of a pass, made from inputs `low` to `high`."""

    start: int
    stop: int
    low: int
    high: int
    weights: Float32
    """(inputs, outputs), whole numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class _Pass:
    blocks: tuple[_Block, ...]
    bias: Float32
    """(outputs,): half a unit for rounding, and what the weights miss of one, for pixels - 128."""
    unit: np.float32
    """Value of one unit of the sums."""

    @property
    def low(self) -> int:
        return self.blocks[0].low

    @property
    def high(self) -> int:
        return max(block.high for block in self.blocks)


def resize(
    rgb: UInt8Image,
    size: tuple[int, int],
    interpolation: Interpolation,
    rows: slice,
    columns: slice,
) -> UInt8Image:
    """Scale an image and cut it.

    Args:
        rgb: (H, W, 3).
        size: (height, width) of the whole scaled image.
        interpolation: of CLIP's and Pillow's kind, a = -0.5.
        rows: what is kept of the scaled image, start and stop given ...
        columns: ... and likewise.

    Returns:
        (rows, columns, 3), contiguous.
    """
    if sys.modules.get("torch") is not None:
        return _by_torch(rgb, size, interpolation)[rows, columns].copy()
    across = _pass(rgb.shape[1], size[1], interpolation, columns.start, columns.stop)
    down = _pass(rgb.shape[0], size[0], interpolation, rows.start, rows.stop)
    part = rgb[down.low : down.high, across.low : across.high]
    height, width = rows.stop - rows.start, columns.stop - columns.start
    # Channels side by side: both passes then go over all three at once.
    pixels = part.astype(np.float32)
    pixels -= 128
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    middle = np.empty((len(part), 3, width), np.float32)
    for channel, chunk in product(range(3), _chunks(len(part), across)):
        plane = planes[channel, chunk]
        for block in across.blocks:
            inputs = plane[:, block.low - across.low : block.high - across.low]
            np.matmul(inputs, block.weights, out=middle[chunk, channel, block.start : block.stop])
    middle += across.bias
    _round(middle, across.unit)
    rows_in = middle.reshape(len(part), 3 * width)
    scaled = np.empty((height, 3 * width), np.float32)
    for block, chunk in product(down.blocks, _chunks(3 * width, down)):
        inputs = rows_in[block.low - down.low : block.high - down.low, chunk]
        np.matmul(block.weights.T, inputs, out=scaled[block.start : block.stop, chunk])
    scaled += down.bias[:, None]
    _round(scaled, down.unit)
    out = np.empty((height, width, 3), np.uint8)
    np.add(scaled.reshape(height, 3, width).transpose(0, 2, 1), 128, out=out, casting="unsafe")
    return out


def _round(sums: Float32, unit: np.float32) -> None:
    """From sums to pixels - 128, in place."""
    sums *= unit
    np.floor(sums, out=sums)
    np.clip(sums, -128, 127, out=sums)


def _chunks(length: int, used: _Pass) -> Iterator[slice]:
    most = max(block.weights.size for block in used.blocks)
    step = max(1, _SINGLE_THREAD // most)
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


@lru_cache(maxsize=32)
def _pass(inputs: int, outputs: int, interpolation: Interpolation, start: int, stop: int) -> _Pass:
    weights, low, high = _weights(inputs, outputs, interpolation)
    bits = 0
    while bits < _MOST_BITS and math.floor(0.5 + weights.max() * 2 ** (bits + 1)) < 2**15:
        bits += 1
    whole = np.sign(weights) * np.floor(np.abs(weights) * 2**bits + 0.5)
    bias = 128 * (whole[start:stop].sum(axis=1) - 2**bits) + 2 ** (bits - 1)
    blocks = []
    for first in range(start, stop, _OUTPUTS):
        last = min(first + _OUTPUTS, stop)
        span = slice(low[first], high[last - 1])
        weights_in = np.array(whole[first:last, span].T, np.float32, order="C")
        blocks.append(_Block(first - start, last - start, span.start, span.stop, weights_in))
    return _Pass(tuple(blocks), bias.astype(np.float32), np.float32(2.0**-bits))


def _weights(
    inputs: int, outputs: int, interpolation: Interpolation
) -> tuple[Float64, list[int], list[int]]:
    """(outputs, inputs) weights and, for each output, its first input and the one after its last.

    The filter is as wide as the scale where an image is made smaller (Pillow's antialiasing).
    """
    scale = inputs / outputs
    stretch = max(scale, 1.0)
    support = (2.0 if interpolation == "bicubic" else 1.0) * stretch
    centres = scale * (np.arange(outputs) + 0.5)
    low = np.maximum((centres - support + 0.5).astype(int), 0)
    high = np.minimum((centres + support + 0.5).astype(int), inputs)
    distance = np.abs(np.arange(inputs) - centres[:, None] + 0.5) / stretch
    weights = _cubic(distance) if interpolation == "bicubic" else np.maximum(1 - distance, 0)
    places = np.arange(inputs)
    weights[(places < low[:, None]) | (places >= high[:, None])] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    return weights, low.tolist(), high.tolist()


def _cubic(x: Float64) -> Float64:
    """Keys' kernel with a = -0.5, x >= 0."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = -0.5 * (((x - 5) * x + 8) * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _by_torch(
    rgb: UInt8Image, size: tuple[int, int], interpolation: Interpolation
) -> NDArray[np.uint8]:
    import torch
    import torch.nn.functional as F

    # from_numpy refuses read-only and negatively strided arrays.
    source = rgb if rgb.flags.writeable and rgb.flags.c_contiguous else np.array(rgb, order="C")
    # The batch axis comes first of all: so torch knows the channels to be last and leaves them
    # there, which saves a third to a half of the time.
    planes = torch.from_numpy(source).unsqueeze(0).permute(0, 3, 1, 2)
    scaled = F.interpolate(planes, size=size, mode=interpolation, antialias=True)
    result: NDArray[np.uint8] = scaled[0].permute(1, 2, 0).numpy()
    return result
