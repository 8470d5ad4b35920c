"""Frame encoders that come with egomon as ONNX, each in a folder of `branches/bases`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from egomon.branches.bundle.card import (
    FrameEncoderCard,
    OnnxFileCard,
    OnnxFileName,
    Preprocessing,
)
from egomon.branches.onnx.forms import OnnxForms

BASES = Path(__file__).parents[1] / "bases"
BASE_FILE = "base.json"
PACKAGE = "package"
"""Name of the weights that come along."""


class BaseCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`base.json`: an encoder and its ONNX files."""

    frame_encoder: FrameEncoderCard
    """Complete, with the hash of the torch weights that the files were made from."""
    runtime: dict[OnnxFileName, OnnxFileCard]


def read_base(name: str) -> BaseCard | None:
    """The base of an encoder library, None if it has none."""
    path = BASES / name / BASE_FILE
    return msgspec.json.decode(path.read_bytes(), type=BaseCard) if path.is_file() else None


def own_forms(
    card: FrameEncoderCard, forms: OnnxForms | None = None
) -> tuple[FrameEncoderCard, OnnxForms]:
    """An encoder's ONNX forms, with its card: those of its bundle, or of the base that it names.

    Args:
        card: the encoder's; fields that a base's card leaves out are filled in.
        forms: the bundle's.
    """
    if forms is not None and forms.pins:
        return card, forms
    base = read_base(card.library)
    if base is None or card.weights not in (None, PACKAGE):
        return card, OnnxForms()
    given = {name: getattr(card, name) for name in Preprocessing.__struct_fields__}
    own = base.frame_encoder
    full = msgspec.structs.replace(
        own, weights_sha256=card.weights_sha256, **{k: v for k, v in given.items() if v is not None}
    )
    # Scaling comes before the graph; all else is in it.
    in_graph = ("architecture", "image_px", "dim")
    same = all(getattr(card, name) == getattr(own, name) for name in in_graph)
    if not same or (full.mean, full.std) != (own.mean, own.std):
        return card, OnnxForms()
    return full, OnnxForms(BASES / card.library, base.runtime)
