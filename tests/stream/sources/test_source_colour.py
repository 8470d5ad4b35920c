"""Colours of phones: the same scene has to look the same, whatever its tags say of the signal."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc
from videos import pictures, write_video

from egomon.stream.sources.decoding.colour import to_standard_range
from egomon.stream.sources.decoding.decode import Converter
from egomon.stream.sources.open import open_source

LUMA = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
"""Kr and Kb of the matrices of ITU-T H.273."""
TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
PATCHES = np.array(
    [[0, 0, 0], [0.2, 0.2, 0.2], [0.5, 0.5, 0.5], [0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.3, 0.7]]
)
"""Signal of standard range, without highlights: those are rolled off."""


def hlg(light: np.ndarray) -> np.ndarray:
    scene = np.maximum(light * 0.265, 1e-9)
    bright = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)


def pq(light: np.ndarray) -> np.ndarray:
    y = np.maximum(light * 203 / 10000, 0) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


WRITTEN: dict[ColorTrc, Any] = {
    ColorTrc.BT709: lambda light: light ** (1 / 2.2),
    ColorTrc.UNSPECIFIED: lambda light: light ** (1 / 2.2),
    ColorTrc.GAMMA28: lambda light: light ** (1 / 2.8),
    ColorTrc.LINEAR: lambda light: light,
    ColorTrc.SMPTE2084: pq,
    ColorTrc.ARIB_STD_B67: hlg,
    ColorTrc.BT2020_10: lambda light: light ** (1 / 2.2),
}


def frame_of(
    patches: np.ndarray, transfer: ColorTrc, primaries: ColorPrimaries, matrix: int, full: bool,
    bits: int,
) -> av.VideoFrame:  # fmt: skip
    """Patches of 16x16, as a camera with these tags writes them."""
    light = patches**2.2
    if primaries == ColorPrimaries.BT2020:
        light = light @ TO_BT2020.T
    red, green, blue = np.moveaxis(WRITTEN[transfer](light), -1, 0)
    k_red, k_blue = LUMA[matrix]
    luma = k_red * red + (1 - k_red - k_blue) * green + k_blue * blue
    cb, cr = (blue - luma) / 2 / (1 - k_blue), (red - luma) / 2 / (1 - k_red)
    most = 2**bits - 1
    unit = most if full else 219 * 2 ** (bits - 8)
    chroma = most if full else 224 * 2 ** (bits - 8)
    planes = [
        luma * unit + (0 if full else 16 * 2 ** (bits - 8)),
        cb * chroma + 2 ** (bits - 1),
        cr * chroma + 2 ** (bits - 1),
    ]
    values = np.clip(np.rint(planes), 0, most).astype(np.uint8 if bits == 8 else np.uint16)
    picture = values.repeat(16, 1)[:, None].repeat(16, 1)  # (3, 16, 16 * patches)
    name = "yuv444p" if bits == 8 else f"yuv444p{bits}le"
    frame = av.VideoFrame(picture.shape[2], picture.shape[1], name)
    for plane, rows in zip(frame.planes, picture, strict=True):
        padded = np.zeros((plane.height, plane.line_size // rows.itemsize), rows.dtype)
        padded[:, : rows.shape[1]] = rows
        plane.update(padded.tobytes())
    frame.time_base, frame.pts = Fraction(1, 30), 0
    frame.color_trc, frame.color_primaries = transfer, primaries
    frame.colorspace = matrix
    frame.color_range = ColorRange.JPEG if full else ColorRange.MPEG
    return frame


@pytest.mark.parametrize("transfer", list(WRITTEN), ids=lambda each: each.name)
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("wide", [False, True], ids=["bt709", "bt2020"])
def test_a_scene_looks_the_same_in_every_transfer_range_and_depth(
    transfer: ColorTrc, full: bool, bits: int, wide: bool
) -> None:
    primaries = ColorPrimaries.BT2020 if wide else ColorPrimaries.BT709
    frame = frame_of(PATCHES, transfer, primaries, 9 if wide else 1, full, bits)
    seen = Converter()(frame)[8, 8::16]
    # A table has few points for shadows in linear light, and for colours at a border.
    most = 24 if transfer == ColorTrc.LINEAR else 14 if wide else 3
    assert np.abs(seen - PATCHES * 255).max() <= most


@pytest.mark.parametrize("matrix", LUMA)
def test_the_matrix_that_the_frame_names_is_used(matrix: int) -> None:
    frame = frame_of(PATCHES, ColorTrc.BT709, ColorPrimaries.BT709, matrix, False, 8)
    assert np.abs(Converter()(frame)[8, 8::16] - PATCHES * 255).max() <= 3


def test_highlights_keep_their_order_and_their_hue() -> None:
    light = np.array([[1, 1, 1], [2, 2, 2], [4, 2, 2], [8, 4, 4]], float)
    seen = to_standard_range(pq(light), ColorTrc.SMPTE2084, ColorPrimaries.BT709)
    assert seen.max() <= 1
    assert seen[0, 0] > 0.95
    assert (np.diff(seen[:, 0]) > 0).all()
    ratio = (seen[2] / seen[3]) / (seen[2, 0] / seen[3, 0])
    assert ratio == pytest.approx([1, 1, 1])


def test_a_change_of_tags_in_the_middle_is_followed() -> None:
    convert = Converter()
    for transfer in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67, ColorTrc.BT709, ColorTrc.SMPTE2084):
        frame = frame_of(PATCHES, transfer, ColorPrimaries.BT2020, 9, False, 10)
        assert np.abs(convert(frame)[8, 8::16] - PATCHES * 255).max() <= 14


@pytest.mark.parametrize(("transfer", "code"), [("arib-std-b67", hlg), ("smpte2084", pq)])
def test_a_phones_film_looks_like_its_original(tmp_path: Path, transfer: str, code: Any) -> None:
    originals = pictures(4)
    path = tmp_path / "phone.mov"
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx265", rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p10le"
        tags = f"colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc"
        stream.options = {"crf": "10", "x265-params": f"log-level=none:{tags}"}
        for image in originals:
            signal = code((image / 255) ** 2.2 @ TO_BT2020.T)
            words = np.rint(np.clip(signal, 0, 1) * 65535).astype(np.uint16)
            frame = av.VideoFrame.from_ndarray(words, format="rgb48le").reformat(
                format="yuv420p10le", dst_colorspace="bt2020", dst_color_range="MPEG"
            )
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    with open_source(str(path)) as source:
        seen = [grab.to_rgb() for grab in iter(source.read, None)]
    difference = [np.abs(a.astype(int) - b).mean() for a, b in zip(seen, originals, strict=True)]
    assert max(difference) < 6


def test_a_film_without_tags_is_left_as_it_is() -> None:
    body = io.BytesIO()
    write_video(body, pictures(1), container="matroska")
    body.seek(0)
    (frame,) = av.open(body).decode(video=0)
    plain = frame.reformat(format="rgb24").to_ndarray()
    assert np.array_equal(Converter()(frame), plain)
