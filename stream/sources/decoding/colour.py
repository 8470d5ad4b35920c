"""High dynamic range and wide gamut to standard range: what the models were trained on.

A phone that records HLG or PQ writes other values for the same light; read as if they were
BT.709 they look washed out (measured: both alerts of an example disappear). The FFmpeg inside
PyAV has no zscale, and its scaler needs 274 ms for a picture of 224x224 where a three-dimensional
table needs 3: so the whole way, from signal to signal, is sampled once into such a table.

White is where ITU-R BT.2408 puts it: 203 cd/m2 in PQ, 75 % of the signal in HLG. HLG is read as
scene light, as its cameras wrote it. What is brighter than white is rolled off, hue kept.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from functools import cache

import av
import numpy as np
import numpy.typing as npt
from av.filter import Graph
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc

logger = logging.getLogger(__name__)

Values = npt.NDArray[np.float64]

TABLE_POINTS = 33
"""Along each axis; between them FFmpeg interpolates."""
# Reference white of HDR video is 203 of 10,000 cd/m2 (ITU-R BT.2408).
WHITE_PQ = 203 / 10_000
WHITE_HLG = 0.265
"""Scene light of a signal of .75."""
KNEE = 0.85
"""Linear light from which highlights are rolled off."""
GAMMA = 2.2
# ARIB STD-B67, and SMPTE ST 2084 below it.
HLG_A, HLG_B, HLG_C = 0.17883277, 0.28466892, 0.55991073
PQ_M1, PQ_M2 = 2610 / 16384, 2523 / 32
PQ_C1, PQ_C2, PQ_C3 = 3424 / 4096, 2413 / 128, 2392 / 128


def _from_pq(signal: Values) -> Values:
    """SMPTE ST 2084, relative to white."""
    root = signal ** (1 / PQ_M2)
    light = np.maximum(root - PQ_C1, 0) / (PQ_C2 - PQ_C3 * root)
    return np.asarray(light ** (1 / PQ_M1) / WHITE_PQ)


def _from_hlg(signal: Values) -> Values:
    """ITU-R BT.2100 inverse OETF, relative to white."""
    bright = (np.exp((signal - HLG_C) / HLG_A) + HLG_B) / 12
    return np.where(signal <= 0.5, signal**2 / 3, bright) / WHITE_HLG


LINEARISED: dict[int, Callable[[Values], Values]] = {
    ColorTrc.GAMMA28: lambda signal: signal**2.8,
    ColorTrc.LINEAR: lambda signal: signal,
    ColorTrc.LOG: lambda signal: np.where(signal > 0, 10 ** (2 * (signal - 1)), 0),
    ColorTrc.LOG_SQRT: lambda signal: np.where(signal > 0, 10 ** (2.5 * (signal - 1)), 0),
    ColorTrc.SMPTE2084: _from_pq,
    ColorTrc.SMPTE428: lambda signal: signal**2.6 * 52.37 / 48,
    ColorTrc.ARIB_STD_B67: _from_hlg,
}
"""Transfer functions that differ from BT.709 visibly; all others are taken for a gamma of 2.2."""

TO_BT709: dict[int, Values] = {
    ColorPrimaries.BT2020: np.array(
        [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    ),
    ColorPrimaries.SMPTE431: np.array(
        [[1.1574, -0.1549, -0.0025], [-0.0415, 1.0456, -0.0041], [-0.0180, -0.0786, 1.0966]]
    ),
    ColorPrimaries.SMPTE432: np.array(
        [[1.2249, -0.2247, -0.0002], [-0.0420, 1.0420, 0.0000], [-0.0196, -0.0786, 1.0983]]
    ),
}
"""Linear light of wider primaries to those of BT.709 (BT.2020, DCI P3, Display P3)."""

_MATRICES = {1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m"}
_MATRICES |= {9: "bt2020", 10: "bt2020"}
# Constant luminance and perceptual ones (Dolby Vision without a base layer).
_UNKNOWN_MATRICES = {12, 13, 14, 15, 16, 17}


def needs_mapping(frame: av.VideoFrame) -> bool:
    """Whether the frame's colours are not those of standard range and BT.709."""
    return frame.color_trc in LINEARISED or frame.color_primaries in TO_BT709


class ToneMapper:
    """Frames of one camera to RGB in standard range; the filter is rebuilt where tags change."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._graph: Graph | None = None

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame in rgb24."""
        tags = frame.color_trc, frame.color_primaries, frame.colorspace, frame.color_range
        key = (frame.width, frame.height, frame.format.name, *tags)
        if self._graph is None or key != self._key:
            self._graph, self._key = _graph(frame), key
        self._graph.vpush(frame)
        return self._graph.vpull()


def _graph(frame: av.VideoFrame) -> Graph:
    if frame.colorspace in _UNKNOWN_MATRICES:
        logger.warning("colours of kind %d are not known; they will look wrong", frame.colorspace)
    matrix = _MATRICES.get(int(frame.colorspace), "auto")
    full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith(("rgb", "gbr"))
    graph = Graph()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "table.cube")
        with open(path, "w") as file:
            file.write(_cube(int(frame.color_trc), int(frame.color_primaries)))
        graph.link_nodes(
            graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format,
                time_base=frame.time_base,
            ),
            graph.add(
                "scale",
                f"in_color_matrix={matrix}:in_range={'full' if full else 'limited'}:out_range=full",
            ),
            graph.add("format", "gbrp16le"),
            graph.add("lut3d", file=path, interp="tetrahedral"),
            graph.add("format", "rgb24"),
            graph.add("buffersink"),
        ).configure()
    return graph


@cache
def _cube(transfer: int, primaries: int) -> str:
    """The table as a .cube file: red changes first."""
    steps = np.linspace(0, 1, TABLE_POINTS)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    signal = np.stack([red, green, blue], -1).reshape(-1, 3)
    table = to_standard_range(signal, transfer, primaries)
    lines = "\n".join(f"{r:.5f} {g:.5f} {b:.5f}" for r, g, b in table)
    return f"LUT_3D_SIZE {TABLE_POINTS}\n{lines}\n"


def to_standard_range(signal: Values, transfer: int, primaries: int) -> Values:
    """RGB signal (N, 3) within 0..1 to the signal of standard range and BT.709.

    Args:
        signal: non-linear RGB, full range.
        transfer: code point of ITU-T H.273.
        primaries: the same.
    """
    light = LINEARISED[transfer](signal) if transfer in LINEARISED else signal**GAMMA
    if primaries in TO_BT709:
        light = np.maximum(light @ TO_BT709[primaries].T, 0)
    peak = np.maximum(light.max(-1, keepdims=True), 1e-9)
    rolled = KNEE + (1 - KNEE) * (1 - np.exp((KNEE - peak) / (1 - KNEE)))
    light = light * np.where(peak > KNEE, rolled, peak) / peak
    return np.asarray(np.clip(light, 0, 1) ** (1 / GAMMA))
