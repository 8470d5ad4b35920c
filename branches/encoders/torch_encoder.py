"""From a card to a torch tower: the loader of its library, and weights from the bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import torch
from numpy.typing import NDArray
from torch import nn

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.branches.bundle.libraries import LOADERS
from egomon.branches.bundle.weights import check_shapes
from egomon.branches.encoders.torch_setup import pick_dtype
from egomon.branches.encoders.tower import LoadedTower, TowerEncoder, seed_of
from egomon.branches.encoders.tower_config import CLIP, complete
from egomon.branches.torch_modules import shapes_of, to_torch
from egomon.errors import BundleError, EgomonError

BUNDLED: dict[str, str] = {
    "workbench": "egomon.branches.encoders.workbench:build",
}
"""architecture -> function (options, image_px) -> nn.Module, (B, 3, S, S) to (B, D)."""


def build_torch_encoder(
    card: FrameEncoderCard,
    weights: Mapping[str, NDArray[Any]] | None,
    *,
    device: str,
    dtype: str,
    folder: Path | None,
) -> TowerEncoder:
    """See `build_frame_encoder`; `dtype` is `auto`, `float32` or `bfloat16`.

    Raises:
        BundleError: if the tower cannot be had or is another one than the card says.
    """
    tower = load_tower(card, weights, folder)
    if tower.image_px not in (None, card.image_px):
        raise BundleError(
            f"field `frame_encoder.image_px` is {card.image_px}, but {card.architecture} "
            f"takes {tower.image_px} px; correct the card"
        )
    pick_dtype(dtype)
    if card.library == "bundled":  # small, some with parts that need the digits
        dtype = "float32"
    return TowerEncoder(complete(card, tower.own), tower, device=device, dtype=dtype)


def load_tower(
    card: FrameEncoderCard, weights: Mapping[str, NDArray[Any]] | None, folder: Path | None
) -> LoadedTower:
    """The tower of one of egomon's own libraries, with the weights that the card names.

    Raises:
        BundleError: if it cannot be had.
    """
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
