"""Image towers of timm, by name: pooled features without a classifier.

For example `vit_pe_core_base_patch16_224.fb`, the Perception Encoder. Weights: `pretrained`
(timm's own, from the hub), a safetensors file, `random:SEED`, or `bundle`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.branches.bundle.hub import hub_access, offline_hint
from egomon.branches.bundle.weights import check_shapes, parse_safetensors
from egomon.branches.encoders.tower import LoadedTower, seed_of
from egomon.branches.encoders.tower_config import of_timm, side_of
from egomon.branches.torch_modules import shapes_of, to_torch
from egomon.errors import BundleError


def load(card: FrameEncoderCard, folder: Path) -> LoadedTower:
    """The tower that the card names.

    Args:
        card: architecture and weights.
        folder: where relative paths start.

    Raises:
        BundleError: if timm does not know it, or the weights are missing or do not fit.
    """
    weights = card.weights or ""
    if weights == "pretrained":
        return _as_tower(_pretrained(card.architecture))
    seed = seed_of(weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed or 0)
        model = _create(card.architecture, pretrained=False)
    if weights != "bundle" and seed is None:
        _load_file(model, folder / weights, card)
    return _as_tower(model)


def _create(architecture: str, *, pretrained: bool) -> nn.Module:
    import timm

    if not timm.is_model(architecture.partition(".")[0]):
        raise BundleError(
            f"field `frame_encoder.architecture` is {architecture!r}, which timm does not know; "
            "see timm.list_models()"
        )
    model: nn.Module = timm.create_model(architecture, pretrained=pretrained, num_classes=0)
    return model


def _pretrained(architecture: str) -> nn.Module:
    try:
        with hub_access():
            return _create(architecture, pretrained=True)
    except BundleError:
        raise
    except Exception as error:  # timm raises whatever its parts raise
        raise BundleError(
            f"pretrained weights of {architecture} cannot be loaded: {error}; {offline_hint()}, "
            "or give a local safetensors file in the field `frame_encoder.weights`"
        ) from error


def _load_file(model: nn.Module, path: Path, card: FrameEncoderCard) -> None:
    if not card.weights or not path.is_file():
        raise BundleError(
            f"field `frame_encoder.weights` is {card.weights!r}, which is no file; "
            "write 'pretrained', or name a safetensors file"
        )
    state = parse_safetensors(path.read_bytes(), str(path))
    # Files of the full model hold its classifier, which num_classes=0 leaves out.
    expected = shapes_of(model)
    head = [k for k in state if k not in expected and k.split(".")[0] in ("head", "classifier")]
    state = {k: v for k, v in state.items() if k not in head}
    check_shapes(expected, state, f"{path} as {card.architecture}")
    model.load_state_dict(to_torch(state))


def _as_tower(model: nn.Module) -> LoadedTower:
    from timm import data

    known: Any = data
    config = known.resolve_data_config({}, pretrained_cfg=model.pretrained_cfg)
    patch = getattr(model, "patch_embed", None)
    size = getattr(patch, "img_size", None)
    first = "patch_embed.proj" if isinstance(getattr(patch, "proj", None), nn.Conv2d) else None
    return LoadedTower(model, side_of(size), first, of_timm(config))
