"""Opens the large encoder for an extraction."""

from __future__ import annotations

import msgspec

from egomon.branches.bundle.card import LargeEncoderCard
from egomon.branches.bundle.locate import LARGE_FOLDER as BUNDLE_LARGE_FOLDER
from egomon.branches.load_bundle import Bundle
from egomon.errors import UsageError
from egomon.train.features.clips import Embedder


def open_large(bundle: Bundle) -> tuple[LargeEncoderCard, Embedder]:
    """The bundle's large encoder; its card names weights by full path, to hold elsewhere too.

    Raises:
        UsageError: the bundle has no large branch.
        BundleError: the weights cannot be had.
    """
    card = bundle.card.large
    if card is None:
        raise UsageError(
            f"bundle {bundle.card.name} has no large branch, so --large has nothing to run; take "
            "a bundle whose card names a large encoder"
        )
    from egomon.branches.uemcm.qwen3_vl import Qwen3VLEmbedder

    dtype = "auto" if bundle.dtype == "int8" else bundle.dtype
    embedder = Qwen3VLEmbedder.load(card, bundle.folder, device=bundle.device, dtype=dtype)
    inside = bundle.folder / (BUNDLE_LARGE_FOLDER if card.weights == "bundle" else card.weights)
    if inside.is_dir():
        card = msgspec.structs.replace(card, weights=str(inside.resolve()))
    return card, embedder
