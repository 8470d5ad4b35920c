"""Image towers of open_clip, by name and weights; only the visual part is kept.

Weights: a pretrained tag, a file (CLIP4Clip's checkpoints too), a folder with
`open_clip_config.json` (`local-dir:` may be left out), a hub id, `random:SEED`, or `bundle`.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.branches.bundle.hub import hub_access, offline_hint
from egomon.branches.bundle.weights import check_finite, check_shapes
from egomon.branches.encoders.tower import LoadedTower, seed_of
from egomon.branches.encoders.tower_config import CLIP, agreed, of_open_clip, side_of
from egomon.branches.torch_modules import shapes_of, to_arrays
from egomon.errors import BundleError

log = logging.getLogger(__name__)

# Weights of these families were trained with QuickGELU throughout.
_QUICK_GELU_FAMILIES = re.compile(r"openai|metaclip", re.IGNORECASE)

# CLIP4Clip appends the epoch.
_CLIP4CLIP_FILE = "pytorch_model.bin"

_HUB_ID = re.compile(r"(hf-hub:)?[A-Za-z0-9][\w.-]*/[\w.-]+")


def load(card: FrameEncoderCard, folder: Path) -> LoadedTower:
    """The image tower that the card names.

    Args:
        card: architecture and weights.
        folder: where relative paths start.

    Raises:
        BundleError: if weights are missing or do not fit; the message names the field.
    """
    weights = card.weights
    if weights is None:
        raise BundleError(
            "field `frame_encoder.weights` is missing; name a pretrained tag of "
            f"{card.architecture} (such as openai), a file, a folder or a hub id"
        )
    seed = 0 if weights == "bundle" else seed_of(weights)
    if seed is not None:
        # Random weights were trained with nothing: where tags disagree, open_clip's default.
        own = CLIP | _of_tags(card.architecture)
        return as_tower(create(card.architecture, seed=seed), own)
    return _pretrained(card.architecture, weights, folder)


def as_tower(visual: nn.Module, own: Mapping[str, Any]) -> LoadedTower:
    """Describe a visual tower of open_clip, with its own preprocessing.

    Raises:
        BundleError: if its input is not square.
    """
    tower: Any = visual
    if getattr(tower, "output_tokens", False):
        tower.output_tokens = False  # CoCa's decoder wants them; a vector is the pooled one
    names = {name for name, module in visual.named_modules() if isinstance(module, nn.Conv2d)}
    # The patch convolutions of ViT towers, open_clip's own and timm's.
    first = next((n for n in ("conv1", "trunk.patch_embed.proj") if n in names), None)
    return LoadedTower(visual, side_of(getattr(visual, "image_size", None)), first, own)


def create(architecture: str, *, seed: int) -> nn.Module:
    """The visual tower with reproducible random weights.

    Raises:
        BundleError: if open_clip does not know the architecture.
    """
    import open_clip

    model_config(architecture)
    with torch.random.fork_rng(devices=[]), _without_log():
        torch.manual_seed(seed)
        model = open_clip.create_model(architecture, load_weights=False, pretrained_text=False)
    visual: nn.Module = model.visual
    return visual


def model_config(architecture: str) -> dict[str, Any]:
    """open_clip's configuration of a built-in architecture.

    Raises:
        BundleError: if there is none of that name.
    """
    import open_clip

    config: dict[str, Any] | None = None
    if re.fullmatch(r"[\w.-]+", architecture):
        config = open_clip.get_model_config(architecture)
    if config is None:
        raise BundleError(
            f"field `frame_encoder.architecture` is {architecture!r}, which open_clip does not "
            "know; see open_clip.list_models(), for example ViT-B-32-quickgelu"
        )
    return config


def refuse_exact_gelu(architecture: str, weights: str) -> None:
    """Refuse an architecture without QuickGELU for weights that were trained with it.

    Raises:
        BundleError: naming the architecture to use instead.
    """
    if not model_config(architecture).get("quick_gelu", False):
        raise BundleError(
            f"field `frame_encoder.architecture` is {architecture!r}, but {weights} was trained "
            f"with QuickGELU and would silently give other vectors; "
            f"use {architecture}-quickgelu"
        )


def _of_tags(architecture: str) -> dict[str, Any]:
    """What all pretrained tags of an architecture have in common; open_clip's default without."""
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(architecture)
    configs = [of_open_clip(open_clip.get_pretrained_cfg(architecture, tag)) for tag in tags]
    return agreed(configs or [CLIP])


def _pretrained(architecture: str, weights: str, folder: Path) -> LoadedTower:
    import open_clip

    name, pretrained = _address(architecture, weights, folder)
    if (folder / weights).is_file() and Path(weights).name.startswith(_CLIP4CLIP_FILE):
        tower = _of_clip4clip(architecture, folder / weights)
        if tower is not None:
            return tower
    if pretrained is not None:
        config = model_config(architecture)
        tag = open_clip.get_pretrained_cfg(architecture, pretrained) or {}
        if tag.get("quick_gelu") or _QUICK_GELU_FAMILIES.search(weights):
            refuse_exact_gelu(architecture, weights)
        elif tag and config.get("quick_gelu"):
            raise BundleError(
                f"field `frame_encoder.architecture` is {architecture!r}, but the weights "
                f"{weights!r} were trained with exact GELU; leave out -quickgelu"
            )
    try:
        with hub_access(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about file formats; what matters is checked above
            model = open_clip.create_model(name, pretrained=pretrained, require_pretrained=True)
    except Exception as error:  # open_clip raises whatever its parts raise
        raise BundleError(
            f"the image tower {architecture} with weights {weights!r} cannot be loaded: {error}; "
            f"{offline_hint()}, or give a local file or folder in the field "
            "`frame_encoder.weights`"
        ) from error
    log.info("loaded %s with %s", architecture, weights)
    if pretrained is None or open_clip.is_pretrained_cfg(architecture, weights):
        return as_tower(model.visual, of_open_clip(model.visual.preprocess_cfg))
    return as_tower(model.visual, _of_tags(architecture))  # a file does not say what it is


def _of_clip4clip(architecture: str, path: Path) -> LoadedTower | None:
    """The image tower of a CLIP4Clip checkpoint, which was trained along; None for other files."""
    from egomon.branches.encoders.dcr_weights import read_state  # it imports this module

    state = {k.removeprefix("module."): v for k, v in read_state(path).items()}
    prefix = "clip.visual."
    visual = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    if not visual:
        return None
    refuse_exact_gelu(architecture, "CLIP4Clip")
    check_finite(to_arrays(visual), str(path))
    tower = create(architecture, seed=0)
    check_shapes(shapes_of(tower), visual, f"{path} as {architecture}")
    tower.load_state_dict(visual)
    return as_tower(tower, CLIP)


@contextmanager
def _without_log() -> Iterator[None]:
    """Drop open_clip's warning on the root logger that weights are random: that is meant."""
    root = logging.getLogger()

    def foreign(record: logging.LogRecord) -> bool:
        return "open_clip" not in record.pathname

    root.addFilter(foreign)
    try:
        yield
    finally:
        root.removeFilter(foreign)


def _address(architecture: str, weights: str, folder: Path) -> tuple[str, str | None]:
    """open_clip's model name and pretrained argument."""
    import open_clip

    if open_clip.is_pretrained_cfg(architecture, weights):
        return architecture, weights
    path = folder / weights.removeprefix("local-dir:")
    if path.is_dir():
        if not (path / "open_clip_config.json").is_file():
            raise BundleError(
                f"field `frame_encoder.weights` names {path}, which has no open_clip_config.json; "
                "for a Hugging Face CLIPModel folder (DCR weights) use library 'dcr'"
            )
        return f"local-dir:{path}", None
    if path.is_file():
        return architecture, str(path)
    if _HUB_ID.fullmatch(weights) and not path.suffix:
        return f"hf-hub:{weights.removeprefix('hf-hub:')}", None
    tags = ", ".join(open_clip.list_pretrained_tags_by_model(architecture)) or "none"
    raise BundleError(
        f"field `frame_encoder.weights` is {weights!r}, which is no file, folder, hub id or tag "
        f"of {architecture}; its tags: {tags}"
    )
