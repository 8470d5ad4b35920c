"""From a bundle to an `EndpointBranch`; the model is loaded here only where no vector is stored."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from egomon.branches.bundle.card import BundleCard, LargeEncoderCard
from egomon.branches.bundle.locate import CARD_FILE, read_card, read_card_bytes
from egomon.branches.bundle.weights import Tensors
from egomon.branches.interfaces import Float32
from egomon.branches.remote.branch import EndpointBranch
from egomon.branches.remote.client import LargeEndpoint
from egomon.branches.remote.probe import decode_vector, encode_vector, probe_clip
from egomon.branches.uemcm.large_head import LargeClassifier
from egomon.errors import BundleError


def load_endpoint_branch(
    card: BundleCard, head: Tensors, folder: Path, endpoint: LargeEndpoint
) -> EndpointBranch:
    """A branch that asks a server for its embeddings; the server is not asked yet.

    Raises:
        BundleError: the head does not fit the card, or there is no vector to compare with.
        MissingExtraError: without httpx.
    """
    classifier = LargeClassifier.load(card, head)
    assert card.large is not None  # or there would be no head
    return EndpointBranch(card.large, classifier, endpoint, expected_vector(card.large, folder))


def expected_vector(card: LargeEncoderCard, folder: Path) -> Float32:
    """The probe's vector (dim,): the card's, else by the model where it lies on this machine.

    Raises:
        BundleError: neither.
    """
    if card.probe:
        return decode_vector(card)
    if card.weights != "bundle" and not (folder / card.weights).is_dir():
        raise BundleError(
            f"the bundle holds no vector to compare a server of {card.weights} with; write it once "
            "where that model can be loaded: egomon serve-large --model BUNDLE --record"
        )
    return measured_vector(card, folder)


def measured_vector(card: LargeEncoderCard, folder: Path) -> Float32:
    """The probe's vector (dim,) by the bundle's own model, loaded here.

    Raises:
        BundleError: the model cannot be loaded.
    """
    try:
        from egomon.branches.uemcm.qwen3_vl import Qwen3VLEmbedder
    except ImportError as error:
        raise BundleError(
            "the bundle holds no vector to compare the server with, and its model cannot be loaded "
            f"here ({error}); write it once where it can: egomon serve-large --record"
        ) from error
    frames, times = probe_clip(card)
    vectors = Qwen3VLEmbedder.load(card, folder).embed([list(frames)], [times])
    return np.asarray(vectors[0], np.float32)


def with_probe(card: LargeEncoderCard, folder: Path) -> LargeEncoderCard:
    """The card with the probe's vector by the bundle's own model."""
    return msgspec.structs.replace(card, probe=encode_vector(measured_vector(card, folder)))


def record_probe(folder: Path) -> None:
    """Write the probe's vector into a bundle's card, which changes the bundle's hash.

    Raises:
        BundleError: the model cannot be loaded, or the card cannot be written.
    """
    card = read_card(folder)
    if card.large is None:
        raise BundleError(f"the bundle {card.name} has no large branch (field `large`)")
    vector = encode_vector(measured_vector(card.large, folder))
    path = folder / CARD_FILE
    # As it was otherwise: the card that is read has defaults filled in.
    content = msgspec.json.decode(read_card_bytes(folder))
    content["large"] |= {"probe": vector, "least_cosine": card.large.least_cosine}
    part = path.with_suffix(".part")
    try:
        part.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
        part.replace(path)
    except OSError as error:
        raise BundleError(f"cannot write {path}: {error.strerror}; copy the bundle") from error
