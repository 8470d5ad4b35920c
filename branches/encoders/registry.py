"""From a card to a frame encoder: egomon's own towers, or what another package brings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.branches.bundle.libraries import (
    ENCODERS,
    LOADERS,
    EncoderContext,
    find_library,
)
from egomon.branches.encoders.precomputed import PrecomputedEncoder
from egomon.branches.interfaces import FrameEncoder
from egomon.branches.onnx.bases import own_forms
from egomon.branches.onnx.forms import Compute, OnnxForms
from egomon.errors import BundleError, EgomonError, PluginError
from egomon.extras import is_installed, needs_extra
from egomon.plugins import Plugin

INT8 = "int8"


def build_frame_encoder(
    card: FrameEncoderCard,
    weights: Mapping[str, NDArray[Any]] | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    engine: str = "auto",
    threads: int | None = None,
    folder: Path | None = None,
    forms: OnnxForms | None = None,
) -> FrameEncoder:
    """Make the encoder that a card names; its own `card` has all that the given one leaves out.

    Args:
        card: which tower. Preprocessing that it leaves out is the tower's own.
        weights: its state dict, where the card's weights are `bundle` or the library `bundled`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        dtype: `auto` (float32), `float32`, `bfloat16`, or `int8` (ONNX Runtime).
        engine: see `Compute`.
        threads: see `Compute`.
        folder: where relative paths in the card start; None = the working folder.
        forms: its ONNX forms; None = those that come with egomon.

    Raises:
        BundleError: if the tower cannot be had or is another one than the card says.
        MissingExtraError: if an optional package is missing.
        PluginError: if another package brings the library and does not work.
    """
    plugin = find_library(card.library)
    if not plugin.is_built_in:
        context = EncoderContext(folder or Path(), device, dtype, weights or {})
        return _from_package(plugin, card, context)
    if card.library == "none":
        return PrecomputedEncoder(card)
    card, forms = own_forms(card, forms)
    found = forms.encoder(card, Compute(device, dtype, engine, threads))
    if found is not None:
        _check_weights(card, found.weights_sha256)
        return found
    # Bundled towers are small, some with parts that need the digits.
    as_int8 = dtype == INT8 and card.library != "bundled"
    without = f"the frame encoder {card.architecture}, without a form of `egomon models export`,"
    with needs_extra(without, "torch"):
        from egomon.branches.encoders.torch_encoder import build_torch_encoder
    encoder = build_torch_encoder(
        card,
        weights,
        device="cpu" if as_int8 else device,
        dtype="float32" if dtype == INT8 else dtype,
        folder=folder,
    )
    _check_weights(card, encoder.weights_sha256)
    if as_int8:
        from egomon.branches.export.encoder import cached_int8

        return cached_int8(encoder)
    return encoder


def _from_package(plugin: Plugin, card: FrameEncoderCard, context: EncoderContext) -> FrameEncoder:
    """An encoder of another package, tried on one black frame."""
    encoder: FrameEncoder = ENCODERS.make(plugin, FrameEncoder, card, context)
    for name in ("dim", "image_px"):
        said, given = getattr(card, name), getattr(encoder, name)
        if said != given:
            raise BundleError(
                f"field `frame_encoder.{name}` is {said}, but {plugin} has {given}; "
                "correct the card"
            )
    _check_weights(card, getattr(encoder, "weights_sha256", None))
    try:
        vectors = encoder.encode(np.zeros((1, card.image_px, card.image_px, 3), np.uint8))
    except EgomonError:
        raise
    except Exception as error:
        raise PluginError(f"{plugin} cannot encode: {type(error).__name__}: {error}") from error
    shape, kind = getattr(vectors, "shape", None), getattr(vectors, "dtype", None)
    if shape != (1, card.dim) or kind != np.float32:
        raise PluginError(
            f"{plugin} gives vectors of {shape} {kind}, not (1, {card.dim}) float32; repair or "
            "uninstall that package"
        )
    return encoder


def check_weights(card: FrameEncoderCard, folder: Path | None = None) -> None:
    """Refuse weights that were exchanged since the vectors were made, where they are at hand.

    Weights that are not there, that come from a library or hub by name, or that torch would be
    needed for and is not installed, are checked by whoever encodes with them.

    Raises:
        BundleError: if the weights are there and have another hash than the card's, or are damaged.
    """
    path = (folder or Path()) / (card.weights or "")
    if card.weights_sha256 is None or card.weights in (None, "bundle") or not path.exists():
        return
    if card.library not in LOADERS or not is_installed("torch"):
        return  # only the other package can say what its weights are
    from egomon.branches.encoders.torch_encoder import load_tower
    from egomon.branches.torch_modules import state_sha256

    _check_weights(card, state_sha256(load_tower(card, None, folder).module.state_dict()))


def _check_weights(card: FrameEncoderCard, found: str | None) -> None:
    if card.weights_sha256 not in (None, found):
        raise BundleError(
            f"field `frame_encoder.weights_sha256` is {card.weights_sha256}, but the weights "
            f"{card.weights!r} of {card.architecture} have {found or 'an unknown hash'}: the "
            "vectors were made and the heads trained on other weights; get those, or extract and "
            "train again with these"
        )
