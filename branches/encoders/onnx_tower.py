"""An image tower as 8-bit integers in ONNX Runtime: a third of the CPU of float32 for a ViT.

The graph is made from the torch tower on first use and kept in the user's cache folder, named
after the weights and the card. Each time it is read it is compared with the tower.

Weights have 7 bits. On x86 without VNNI a product of unsigned activations and signed weights is
summed in pairs of 16 bits: with 8-bit weights pairs saturate there (cosine .9897 where VNNI gives
.9999), with 7 bits the largest pair is 2 * 255 * 64 = 32640 < 2^15. So every instruction set
computes the same sums.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import platformdirs
import torch
from numpy.typing import NDArray
from torch import nn

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.branches.encoders.preprocess import ImagePreparer
from egomon.branches.encoders.tower import TowerEncoder
from egomon.branches.interfaces import Float32
from egomon.errors import BundleError, MissingExtraError
from egomon.stream.frame import UInt8Image

log = logging.getLogger(__name__)

LEAST_COSINE = 0.98
"""Of each vector with its float32 one; below that the graph is refused."""
OPSET = 17
GRAPH_VERSION = 2
"""Part of the file name: another way of making the graph makes another file."""
_PROBES = 8


class OnnxEncoder:
    """`FrameEncoder` over an int8 graph of a `TowerEncoder`; on the CPU.

    Raises:
        MissingExtraError: the extra `onnx` is not installed.
        BundleError: the tower cannot be exported, or its graph gives other vectors.
    """

    def __init__(self, reference: TowerEncoder, cache: Path | None = None) -> None:
        runtime = _optional("onnxruntime")
        self.card = reference.card
        self.weights_sha256 = reference.weights_sha256
        """Of the tower's float32 weights, what a card's `weights_sha256` is compared with."""
        self.dim, self.image_px = reference.dim, reference.image_px
        self._prepare = ImagePreparer(self.card.image_px, self.card.crop)
        folder = cache or Path(platformdirs.user_cache_dir("egomon")) / "onnx"
        path = folder / f"{_graph_key(self.card, reference.weights_sha256)}.onnx"
        if not path.is_file():
            _make_graph(reference, path)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Threads that spin while they wait cost other programs, and the capture, their cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = runtime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises types of its own
            raise BundleError(
                f"{path} cannot be read ({error}); delete it, it is made anew"
            ) from error
        self.cosine = self._compare(reference, path)
        """Least cosine with the float32 vectors, over made-up pictures."""
        self.backend = f"onnxruntime {runtime.__version__} int8"
        log.info("%s: cosine with float32 at least %.5f", self.backend, self.cosine)

    def prepare(self, rgb: UInt8Image) -> UInt8Image:
        """See `FrameEncoder`."""
        return self._prepare(rgb)

    def encode(self, images: NDArray[np.uint8]) -> Float32:
        """See `FrameEncoder`.

        Raises:
            ValueError: on another shape or type.
        """
        px = self.image_px
        if images.ndim != 4 or images.shape[1:] != (px, px, 3) or images.dtype != np.uint8:
            raise ValueError(
                f"expected (B, {px}, {px}, 3) uint8 RGB, got {images.shape} {images.dtype}"
            )
        # Scales of activations are taken over a whole batch: frame by frame, a vector does not
        # depend on what it was encoded with, live equals replay, and b1 costs little more here.
        rows = [self._session.run(None, {"images": image[None]})[0] for image in images]
        if not rows:
            return np.empty((0, self.dim), np.float32)
        return np.asarray(np.concatenate(rows), dtype=np.float32)

    def _compare(self, reference: TowerEncoder, path: Path) -> float:
        images = _pictures(self.image_px)
        ours, theirs = self.encode(images), reference.encode(images)
        if ours.shape != theirs.shape:
            raise BundleError(f"{path} gives vectors of {ours.shape[1]} values, not {self.dim}")
        norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
        cosine = float(((ours * theirs).sum(axis=1) / np.maximum(norms, 1e-12)).min())
        if not cosine >= LEAST_COSINE:
            raise BundleError(
                f"as int8, {self.card.architecture} gives other vectors (cosine {cosine:.3f} with "
                f"float32, at least {LEAST_COSINE} is needed); use --dtype float32 or bfloat16"
            )
        return cosine


def _graph_key(card: FrameEncoderCard, weights_sha256: str) -> str:
    """Name of a graph: another function of the pixels, be it by mean or by weights, has another."""
    fixed = msgspec.structs.replace(card, weights=None, weights_sha256=weights_sha256)
    return hashlib.sha256(msgspec.json.encode((GRAPH_VERSION, fixed))).hexdigest()[:32]


def _optional(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError("--dtype int8", "onnx") from error


def _make_graph(reference: TowerEncoder, path: Path) -> None:
    """Export and quantise beside the target, then rename: a reader never sees half a graph."""
    quantization = _optional("onnxruntime.quantization")
    path.parent.mkdir(parents=True, exist_ok=True)
    log.info("making %s from %s, once", path, reference.card.architecture)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        whole, small = Path(folder) / "whole.onnx", Path(folder) / "int8.onnx"
        try:
            _export(reference.whole, reference.image_px, whole)
            with _quiet_root_logger():
                quantization.quantize_dynamic(
                    whole,
                    small,
                    op_types_to_quantize=["MatMul", "Gemm"],
                    per_channel=True,
                    reduce_range=True,
                )
        except Exception as error:  # torch and onnx raise whatever their parts raise
            raise BundleError(
                f"{reference.card.architecture} cannot be made an int8 graph: {error}; "
                "use --dtype float32 or bfloat16"
            ) from error
        os.replace(small, path)


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


def _export(module: nn.Module, px: int, path: Path) -> None:
    images = torch.from_numpy(_pictures(px)[:2])
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # its fused operator has no ONNX form
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # shapes that the trace fixes are fixed in a tower
            torch.onnx.export(
                module,
                (images,),
                str(path),
                input_names=["images"],
                output_names=["vectors"],
                dynamic_axes={"images": {0: "batch"}, "vectors": {0: "batch"}},
                opset_version=OPSET,
                dynamo=False,
            )
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _pictures(px: int) -> NDArray[np.uint8]:
    """Blocks of colour at several sizes: (N, px, px, 3)."""
    rng = np.random.default_rng(0)
    images = np.zeros((_PROBES, px, px, 3))
    for cell in (4, 16, 64):
        side = -(-px // cell)
        blocks = rng.uniform(0, 85, (_PROBES, side, side, 3))
        images += blocks.repeat(cell, axis=1).repeat(cell, axis=2)[:, :px, :px]
    return images.astype(np.uint8)
