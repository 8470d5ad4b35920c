"""From a card to a frame encoder: the loader of its library, or what another package brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.branches.bundle.libraries import (
    ENCODERS,
    LOADERS,
    EncoderContext,
    find_library,
)
from egomon.branches.bundle.weights import check_shapes
from egomon.branches.encoders.torch_setup import pick_dtype
from egomon.branches.encoders.tower import (
    LoadedTower,
    PrecomputedEncoder,
    TowerEncoder,
    seed_of,
)
from egomon.branches.encoders.tower_config import CLIP, complete
from egomon.branches.interfaces import FrameEncoder
from egomon.branches.torch_modules import shapes_of, state_sha256, to_torch
from egomon.errors import BundleError, EgomonError, PluginError
from egomon.plugins import Plugin

INT8 = "int8"

BUNDLED: dict[str, str] = {
    "workbench": "egomon.branches.encoders.workbench:build",
}
"""architecture -> function (options, image_px) -> nn.Module, (B, 3, S, S) to (B, D)."""


def build_frame_encoder(
    card: FrameEncoderCard,
    weights: Mapping[str, NDArray[Any]] | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    folder: Path | None = None,
) -> FrameEncoder:
    """Make the encoder that a card names; its own `card` has all that the given one leaves out.

    Args:
        card: which tower. Preprocessing that it leaves out is the tower's own.
        weights: its state dict, where the card's weights are `bundle` or the library `bundled`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        dtype: `auto` (float32), `float32`, `bfloat16`, or `int8` (ONNX Runtime, extra `onnx`).
        folder: where relative paths in the card start; None = the working folder.

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
    tower = _tower(card, weights, folder)
    if tower.image_px not in (None, card.image_px):
        raise BundleError(
            f"field `frame_encoder.image_px` is {card.image_px}, but {card.architecture} "
            f"takes {tower.image_px} px; correct the card"
        )
    # Bundled towers are small, some with parts that need the digits.
    as_int8 = dtype == INT8 and card.library != "bundled"
    if dtype != INT8:
        pick_dtype(dtype)
    if dtype == INT8 or card.library == "bundled":
        dtype = "float32"
    full = complete(card, tower.own)
    encoder = TowerEncoder(full, tower, device="cpu" if as_int8 else device, dtype=dtype)
    _check_weights(card, encoder.weights_sha256)
    if as_int8:
        from egomon.branches.encoders.onnx_tower import OnnxEncoder

        return OnnxEncoder(encoder)
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

    Weights that are not there, or come from a library or hub by name, are checked by whoever
    encodes with them.

    Raises:
        BundleError: if the weights are there and have another hash than the card's, or are damaged.
    """
    path = (folder or Path()) / (card.weights or "")
    if card.weights_sha256 is None or card.weights in (None, "bundle") or not path.exists():
        return
    if card.library not in LOADERS:
        return  # only the other package can say what its weights are
    _check_weights(card, state_sha256(_tower(card, None, folder).module.state_dict()))


def _check_weights(card: FrameEncoderCard, found: str | None) -> None:
    if card.weights_sha256 not in (None, found):
        raise BundleError(
            f"field `frame_encoder.weights_sha256` is {card.weights_sha256}, but the weights "
            f"{card.weights!r} of {card.architecture} have {found or 'an unknown hash'}: the "
            "vectors were made and the heads trained on other weights; get those, or extract and "
            "train again with these"
        )


def _tower(
    card: FrameEncoderCard, weights: Mapping[str, NDArray[Any]] | None, folder: Path | None
) -> LoadedTower:
    if card.library == "bundled":
        tower = LoadedTower(_bundled(card, weights), own=CLIP)
    else:
        tower = cast(LoadedTower, _call(LOADERS[card.library], card, folder or Path()))
    if card.weights != "bundle":
        return tower
    if not weights:
        raise BundleError(
            "field `frame_encoder.weights` is 'bundle', but model.safetensors has nothing under "
            "`encoder.`"
        )
    check_shapes(shapes_of(tower.module), weights, "frame encoder")
    tower.module.load_state_dict(to_torch(weights))
    return tower


def _bundled(card: FrameEncoderCard, weights: Mapping[str, NDArray[Any]] | None) -> nn.Module:
    home = BUNDLED.get(card.architecture)
    if home is None:
        raise BundleError(
            f"field `frame_encoder.architecture` is {card.architecture!r}, but this egomon has "
            f"only {', '.join(sorted(BUNDLED))}; use the egomon version that wrote the bundle"
        )
    seed = seed_of(card.weights)
    if seed is None and card.weights != "bundle":
        raise BundleError(
            f"field `frame_encoder.weights` is {card.weights!r}, but {card.architecture} comes "
            "from the bundle; write 'bundle'"
        )
    if weights:
        # Sizes from a damaged card must not cost memory: look at the shapes first.
        try:
            with torch.device("meta"):
                expected = shapes_of(_resolve(home)(dict(card.options), card.image_px))
        except Exception as error:
            raise _cannot_build(card, error) from error
        check_shapes(expected, weights, "frame encoder")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed or 0)
        module: nn.Module = _call(home, dict(card.options), card.image_px, card=card)
    return module


def _call(home: str, *arguments: Any, card: FrameEncoderCard | None = None) -> Any:
    function = _resolve(home)
    try:
        return function(*arguments)
    except EgomonError:
        raise
    except Exception as error:
        raise _cannot_build(card or arguments[0], error) from error


def _resolve(home: str) -> Callable[..., Any]:
    module, _, function = home.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found


def _cannot_build(card: FrameEncoderCard, error: Exception) -> BundleError:
    return BundleError(
        f"{card.library} cannot build {card.architecture!r} with weights {card.weights!r}: {error}"
    )
