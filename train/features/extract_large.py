"""Opens the large encoder for an extraction."""

from __future__ import annotations

from pathlib import Path

import msgspec

from egomon.branches.bundle.card import BundleCard, LargeEncoderCard
from egomon.branches.bundle.large_weights import pinned
from egomon.errors import UsageError
from egomon.train.features.clips import Embedder


def open_large(
    card: BundleCard, folder: Path, *, device: str = "auto", dtype: str = "auto"
) -> tuple[LargeEncoderCard, Embedder]:
    """The large encoder that a card names; the one given back is pinned and has a full path.

    Raises:
        UsageError: the card names none.
        BundleError: the weights cannot be had, or have another hash than the card's.
    """
    large = card.large
    if large is None:
        raise UsageError(
            f"{card.name} has no large branch, so --large has nothing to run; take a bundle that "
            "has one, or --encoders with a file of `egomon models new`"
        )
    from egomon.branches.uemcm.qwen3_vl import Qwen3VLEmbedder

    dtype = "auto" if dtype == "int8" else dtype
    # What a server is compared with says nothing about the vectors of a set.
    unprobed = msgspec.structs.replace(pinned(large, folder), probe="")
    return unprobed, Qwen3VLEmbedder.load(large, folder, device=device, dtype=dtype)
