"""Gives a bundle its ONNX forms, pinned by its card."""

from __future__ import annotations

import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from egomon.branches.bundle.card import BundleCard, OnnxFileCard, OnnxFileName
from egomon.branches.bundle.locate import CARD_FILE, ONNX_FOLDER, parse_card, read_card_bytes
from egomon.branches.bundle.weights import part
from egomon.branches.encoders.torch_encoder import build_torch_encoder
from egomon.branches.encoders.tower import TowerEncoder
from egomon.branches.export.encoder import write_encoder, write_int8
from egomon.branches.export.qwen3_vl import write_large
from egomon.branches.load_bundle import read_tensors
from egomon.branches.onnx.bases import own_forms
from egomon.branches.torch_modules import state_sha256
from egomon.branches.uemcm.qwen3_vl import Qwen3VLEmbedder
from egomon.errors import BundleError

log = logging.getLogger(__name__)

Pins = dict[OnnxFileName, OnnxFileCard]


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote."""

    folder: Path
    files: Pins
    refused: tuple[str, ...]
    """One sentence for each network that has no ONNX form, and why."""


def export_bundle(source: Path, target: Path | None = None) -> Exported:
    """Write the networks of a bundle as ONNX into its folder `onnx/`, and pin them in its card.

    The heads are NumPy and need none. A network that cannot be exported exactly is left to torch.

    Args:
        source: the bundle.
        target: where a copy with the ONNX forms goes; None = into the bundle itself.

    Raises:
        BundleError: the bundle is damaged, `target` exists, or nothing could be exported.
        MissingExtraError: `onnx` is not installed.
    """
    card = parse_card(read_card_bytes(source), str(source / CARD_FILE))
    if target is not None and target.exists():
        raise BundleError(f"{target} exists; choose another folder")
    refused: list[str] = []
    parent = source.parent if target is None else target.parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".onnx-") as scratch:
        new = Path(scratch, ONNX_FOLDER)
        new.mkdir()
        files: Pins = {}
        for write in (_encoder, _int8, _large):
            try:
                files |= write(card, source, new)
            except BundleError as error:
                refused.append(str(error))
        if not files and refused:
            raise BundleError(f"{source} has no network that can be exported: {refused[0]}")
        if not files and target is None:
            return Exported(source, {}, ())
        for path in new.iterdir():
            if path.name not in files:
                path.unlink()
        if target is not None:
            shutil.copytree(source, target)
        folder = target or source
        if (folder / ONNX_FOLDER).exists():
            (folder / ONNX_FOLDER).rename(Path(scratch, "old"))
        if files:
            new.rename(folder / ONNX_FOLDER)
        (folder / CARD_FILE).write_bytes(_pinned(read_card_bytes(source), files))
    return Exported(folder, files, tuple(refused))


def _pinned(card: bytes, files: Pins) -> bytes:
    """The card with its pins and nothing else changed, as it may be older than its fields."""
    fields = msgspec.json.decode(card) | {"runtime": files}
    return msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n"


def _encoder(card: BundleCard, source: Path, folder: Path) -> Pins:
    if _needs_none(card):
        return {}
    return write_encoder(_tower(card, source), folder)


def _int8(card: BundleCard, source: Path, folder: Path) -> Pins:
    # Bundled towers are small, some with parts that need the digits.
    if _needs_none(card) or card.frame_encoder.library == "bundled":
        return {}
    return write_int8(_tower(card, source), folder)


def _needs_none(card: BundleCard) -> bool:
    """True for precomputed vectors, and for an encoder that comes with egomon as ONNX."""
    encoder = card.frame_encoder
    return encoder.library == "none" or bool(own_forms(encoder)[1].pins)


def _tower(card: BundleCard, source: Path) -> TowerEncoder:
    weights = part(read_tensors(source), "encoder.")
    return build_torch_encoder(
        card.frame_encoder, weights, device="cpu", dtype="float32", folder=source
    )


def _large(card: BundleCard, source: Path, folder: Path) -> Pins:
    if card.large is None:
        return {}
    embedder = Qwen3VLEmbedder.load(card.large, source, device="cpu", dtype="float32")
    sha256 = card.large.weights_sha256 or state_sha256(embedder.model.state_dict())
    return write_large(card.large, embedder, sha256, folder)
