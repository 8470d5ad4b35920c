"""What teaching starts from: a bundle, or an image encoder alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from egomon import __version__
from egomon.branches.bundle.card import BundleCard, FrameEncoderCard, SmallCard, StreamCard
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
    tensors: Tensors
    """With the bundle's prefixes; empty for an encoder alone."""
    guard: DomainGuard | None
    activity: ActivityModel | None


def open_base(ref: str) -> Base:
    """Load what `--base` names: `lite0`, an encoder's JSON file, or a bundle.

    The file is one object, a card's `frame_encoder`:
    `{"library": "open_clip", "architecture": "ViT-B-32-quickgelu", "weights": "openai",
    "image_px": 224, "dim": 512}`. Preprocessing that it leaves out is the tower's own.

    Raises:
        BundleError: it cannot be loaded or cannot see videos.
    """
    if ref == LITE0:
        return _without_heads(_lite0_card())
    if ref.endswith(".json"):
        return _encoder_alone(Path(ref))
    bundle = load_bundle(ref)
    if bundle.encoder is None or bundle.card.frame_encoder.library == "none":
        raise BundleError(f"bundle {ref} has no frame encoder, so it cannot see videos")
    encoder = _with_full_path(_described(bundle.encoder, bundle.card), bundle.folder)
    card = msgspec.structs.replace(bundle.card, frame_encoder=encoder)
    return Base(card, bundle.encoder, read_tensors(bundle.folder), bundle.guard, bundle.activity)


def _encoder_alone(path: Path) -> Base:
    try:
        encoder = msgspec.json.decode(path.read_bytes(), type=FrameEncoderCard)
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror})") from error
    except msgspec.DecodeError as error:
        raise BundleError(f"{path} does not describe a frame encoder: {error}") from error
    encoder = _with_full_path(encoder, path.resolve().parent)
    if encoder.library in ("none", "bundled") or encoder.weights == "bundle":
        raise BundleError(f"{path} names weights that lie in a bundle; give that bundle instead")
    card = BundleCard(
        name=path.stem,
        description=f"{encoder.architecture}, {encoder.weights}",
        created="",
        egomon_version=__version__,
        licence="",
        frame_encoder=encoder,
        small=SmallCard(),
        stream=StreamCard(),
    )
    return _without_heads(card)


def _without_heads(card: BundleCard) -> Base:
    encoder = build_frame_encoder(card.frame_encoder)
    full = msgspec.structs.replace(card, frame_encoder=_described(encoder, card))
    return Base(full, encoder, {}, None, None)


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
