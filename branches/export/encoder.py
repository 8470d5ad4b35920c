"""A frame encoder as ONNX: float32, or its products in 8-bit integers.

Weights of int8 have 7 bits. On x86 without VNNI a product of unsigned activations and signed
weights is summed in pairs of 16 bits: with 8-bit weights pairs saturate there (cosine .9897 where
VNNI gives .9999), with 7 bits the largest pair is 2 * 255 * 64 = 32640 < 2^15. So every instruction
set computes the same sums.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import platformdirs
import torch

from egomon.branches.bundle.card import FrameEncoderCard, OnnxFileCard, OnnxFileName
from egomon.branches.encoders.tower import TowerEncoder
from egomon.branches.export.graph import pin, write_graph
from egomon.branches.onnx.encoder import WEIGHTS_SHA256, OnnxEncoder, pictures
from egomon.branches.onnx.forms import FLOAT32, INT8
from egomon.branches.onnx.session import least_cosine
from egomon.errors import BundleError
from egomon.extras import needs_extra

log = logging.getLogger(__name__)

LEAST_COSINE = 0.9999
"""Of each float32 vector with torch's; below that the graph is refused."""
LEAST_COSINE_INT8 = 0.98
GRAPH_VERSION = 3
"""Part of a cached file's name: another way of making the graph makes another file."""

Pins = dict[OnnxFileName, OnnxFileCard]


def write_encoder(
    tower: TowerEncoder, folder: Path, compared_with: TowerEncoder | None = None
) -> Pins:
    """Write `encoder.onnx`; its entry for the card.

    Args:
        tower: what is written.
        folder: where it goes.
        compared_with: the tower whose vectors it must give; None = the one that is written.

    Raises:
        BundleError: the tower cannot be exported, or gives other vectors as ONNX.
        MissingExtraError: `onnx` is not installed.
    """
    path = folder / FLOAT32
    _write_float32(tower, path)
    return {FLOAT32: _compared(compared_with or tower, path, pin(path, 1.0), LEAST_COSINE)}


def write_int8(reference: TowerEncoder, folder: Path) -> Pins:
    """Write `encoder-int8.onnx` likewise."""
    path = folder / INT8
    _write_int8(reference, path)
    return {INT8: _compared(reference, path, pin(path, 1.0, "int8"), LEAST_COSINE_INT8)}


def cached_int8(reference: TowerEncoder, cache: Path | None = None) -> OnnxEncoder:
    """The tower in int8, made on first use and kept in the user's cache folder.

    The file is named after weights and card, and compared with the tower each time.

    Raises:
        MissingExtraError: the extra `torch` is not installed.
        BundleError: the tower cannot be exported, or its graph gives other vectors.
    """
    folder = cache or Path(platformdirs.user_cache_dir("egomon")) / "onnx"
    path = folder / f"{_key(reference.card, reference.weights_sha256)}.onnx"
    if not path.is_file():
        log.info("making %s from %s, once", path, reference.card.architecture)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_int8(reference, path)
    try:
        entry = _compared(reference, path, pin(path, 1.0, "int8"), LEAST_COSINE_INT8)
        log.info("int8: cosine with float32 at least %.5f", entry.cosine)
        return OnnxEncoder(path, entry, reference.card, threads=torch.get_num_threads())
    except BundleError as error:
        raise BundleError(f"{error}; delete {path}, it is made anew") from error


def _compared(
    reference: TowerEncoder, path: Path, entry: OnnxFileCard, least: float
) -> OnnxFileCard:
    images = pictures(reference.image_px)
    encoder = OnnxEncoder(path, entry, reference.card)
    cosine = least_cosine(encoder.encode(images), reference.encode(images))
    if not cosine >= least:
        raise BundleError(
            f"as {entry.dtype} in ONNX, {reference.card.architecture} gives other vectors (cosine "
            f"{cosine:.4f} with torch, at least {least} is needed); use --engine torch"
        )
    return msgspec.structs.replace(entry, cosine=round(cosine, 6))


def _write_float32(reference: TowerEncoder, path: Path) -> None:
    try:
        write_graph(
            path,
            reference.whole,
            {"images": torch.from_numpy(pictures(reference.image_px)[:2])},
            ("vectors", reference.dim),
            {"images": {0: "batch"}, "vectors": {0: "batch"}},
            {WEIGHTS_SHA256: reference.weights_sha256},
        )
    except BundleError as error:
        raise BundleError(
            f"{reference.card.architecture} cannot be made an ONNX graph: {error}; "
            "use --engine torch with --dtype float32 or bfloat16"
        ) from error


def _write_int8(reference: TowerEncoder, path: Path) -> None:
    """Export and quantise beside the target, then rename: a reader never sees half a graph."""
    with needs_extra("--dtype int8", "torch"):
        from onnxruntime import quantization
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        whole, small = Path(folder) / "whole.onnx", Path(folder) / "int8.onnx"
        _write_float32(reference, whole)
        try:
            with _quiet_root_logger():
                quantization.quantize_dynamic(
                    whole,
                    small,
                    op_types_to_quantize=["MatMul", "Gemm"],
                    per_channel=True,
                    reduce_range=True,
                )
        except Exception as error:  # onnx raises whatever its parts raise
            raise BundleError(
                f"{reference.card.architecture} cannot be made an int8 graph: {error}; "
                "use --dtype float32 or bfloat16"
            ) from error
        os.replace(small, path)


def _key(card: FrameEncoderCard, weights_sha256: str) -> str:
    """Name of a graph: another function of the pixels, be it by mean or by weights, has another."""
    fixed = msgspec.structs.replace(card, weights=None, weights_sha256=weights_sha256)
    return hashlib.sha256(msgspec.json.encode((GRAPH_VERSION, fixed))).hexdigest()[:32]


@contextmanager
def _quiet_root_logger() -> Iterator[None]:
    """The quantiser tells the root logger of every node; other loggers go on."""

    def refuse(record: logging.LogRecord) -> bool:
        return False

    root = logging.getLogger()
    root.addFilter(refuse)
    try:
        yield
    finally:
        root.removeFilter(refuse)
