"""What teaching starts from: a bundle, or an image encoder alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from egomon import __version__
from egomon.branches.bundle.card import (
    BundleCard,
    FrameEncoderCard,
    LargeEncoderCard,
    SmallCard,
    StreamCard,
)
from egomon.branches.bundle.encoders_file import read_encoders
from egomon.branches.bundle.locate import ONNX_FOLDER
from egomon.branches.bundle.weights import Tensors
from egomon.branches.encoders.registry import build_frame_encoder
from egomon.branches.interfaces import ActivityModel, DomainGuard, FrameEncoder
from egomon.branches.load_bundle import load_bundle, read_tensors
from egomon.branches.onnx.bases import read_base
from egomon.errors import BundleError

LITE0 = "lite0"
"""Name of the base that is EfficientNet-Lite0 alone: general ImageNet features, no hub needed."""


@dataclass(frozen=True, slots=True, eq=False)
class Base:
    """A frame encoder and, where it comes from a bundle, what else is trained on its vectors."""

    card: BundleCard
    """Its encoder names weights by full path and hash, so that it holds in another folder, and
    says all of its preprocessing."""
    encoder: FrameEncoder
    folder: Path
    """Where relative paths of the card start."""
    tensors: Tensors
    """With the bundle's prefixes; empty for an encoder alone."""
    guard: DomainGuard | None
    activity: ActivityModel | None
    onnx_folder: Path | None = None
    """Holds the ONNX files that the card pins."""


def open_base(ref: str, *, device: str = "auto", dtype: str = "auto") -> Base:
    """Load what `--base` names: `lite0`, a bundle, an `encoders.toml`, or an encoder's JSON file.

    The file is one object, a card's `frame_encoder`:
    `{"library": "open_clip", "architecture": "ViT-B-32-quickgelu", "weights": "openai",
    "image_px": 224, "dim": 512}`. Preprocessing that it leaves out is the tower's own.

    Args:
        ref: what is named.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        dtype: `auto`, `float32`, `bfloat16` or `int8`.

    Raises:
        BundleError: it cannot be loaded or cannot see videos.
    """
    if ref == LITE0:
        return _without_heads(_lite0_card(), device, dtype)
    if ref.endswith(".json"):
        return _encoder_alone(Path(ref), device, dtype)
    if ref.endswith(".toml"):
        return open_encoders(Path(ref), device=device, dtype=dtype)
    bundle = load_bundle(ref, device=device, dtype=dtype)
    if bundle.encoder is None or bundle.card.frame_encoder.library == "none":
        raise BundleError(f"bundle {ref} has no frame encoder, so it cannot see videos")
    encoder = _with_full_path(_described(bundle.encoder, bundle.card), bundle.folder)
    card = msgspec.structs.replace(bundle.card, frame_encoder=encoder)
    return Base(
        card,
        bundle.encoder,
        bundle.folder,
        read_tensors(bundle.folder),
        bundle.guard,
        bundle.activity,
        bundle.folder / ONNX_FOLDER if card.runtime else None,
    )


def open_encoders(path: Path, *, device: str = "auto", dtype: str = "auto") -> Base:
    """Load the frame encoder of an `encoders.toml`; the card has its large one too, not loaded.

    Raises:
        ConfigError: the file is no such file.
        BundleError: the frame encoder cannot be loaded.
    """
    found = read_encoders(path)
    card = _card_of(path.stem, found.frame_encoder, found.large_encoder)
    return _without_heads(card, device, dtype)


def _encoder_alone(path: Path, device: str, dtype: str) -> Base:
    try:
        encoder = msgspec.json.decode(path.read_bytes(), type=FrameEncoderCard)
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror})") from error
    except msgspec.DecodeError as error:
        raise BundleError(f"{path} does not describe a frame encoder: {error}") from error
    encoder = _with_full_path(encoder, path.resolve().parent)
    if encoder.library in ("none", "bundled") or encoder.weights == "bundle":
        raise BundleError(f"{path} names weights that lie in a bundle; give that bundle instead")
    return _without_heads(_card_of(path.stem, encoder, None), device, dtype)


def _card_of(name: str, frame: FrameEncoderCard, large: LargeEncoderCard | None) -> BundleCard:
    return BundleCard(
        name=name,
        description=f"{frame.architecture}, {frame.weights}",
        created="",
        egomon_version=__version__,
        licence="",
        frame_encoder=frame,
        large=large,
        small=SmallCard(),
        stream=StreamCard(),
    )


def _without_heads(card: BundleCard, device: str, dtype: str) -> Base:
    encoder = build_frame_encoder(card.frame_encoder, device=device, dtype=dtype)
    full = msgspec.structs.replace(card, frame_encoder=_described(encoder, card))
    return Base(full, encoder, Path(), {}, None, None)


def _described(encoder: FrameEncoder, card: BundleCard) -> FrameEncoderCard:
    """With the hash of the weights and all of the preprocessing, which egomon's own towers know."""
    known: FrameEncoderCard | None = getattr(encoder, "card", None)
    if known is not None:
        return known
    sha256 = getattr(encoder, "weights_sha256", card.frame_encoder.weights_sha256)
    return msgspec.structs.replace(card.frame_encoder.recorded(), weights_sha256=sha256)


def _with_full_path(card: FrameEncoderCard, folder: Path) -> FrameEncoderCard:
    if card.weights is None or not (folder / card.weights).exists():
        return card
    return msgspec.structs.replace(card, weights=str((folder / card.weights).resolve()))


def _lite0_card() -> BundleCard:
    base = read_base(LITE0)
    assert base is not None  # it comes with egomon
    return BundleCard(
        name=LITE0,
        description="EfficientNet-Lite0 with ImageNet weights",
        created="",
        egomon_version=__version__,
        licence="Apache-2.0",
        frame_encoder=base.frame_encoder,
        small=SmallCard(),
        stream=StreamCard(fps=4.0, length_seconds=2.0, stride_seconds=1.0),
    )
