"""A tower's own preprocessing, from the words of its library to those of a card.

What egomon has no word for stays as the library says it, and is refused where it is needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from egomon.branches.bundle.card import FrameEncoderCard, Preprocessing
from egomon.errors import BundleError

CLIP: dict[str, Any] = msgspec.structs.asdict(Preprocessing())
"""OpenAI's, and open_clip's where a model says nothing."""

_OPEN_CLIP_CROPS = {"shortest": "center", "squash": "squash", "longest": "letterbox"}
# Pillow's numbers of interpolations, which Hugging Face's processors use.
_PILLOW = {2: "bilinear", 3: "bicubic"}


def complete(card: FrameEncoderCard, own: Mapping[str, object]) -> FrameEncoderCard:
    """The card with the tower's own preprocessing in the fields that it leaves out.

    Raises:
        BundleError: if such a field is not known or means what egomon cannot do; it is named.
    """
    found = {}
    for field in msgspec.structs.fields(Preprocessing):
        if getattr(card, field.name) is not None:
            continue
        missing = f"field `frame_encoder.{field.name}` is missing"
        if field.name not in own:
            raise BundleError(
                f"{missing}, and {card.architecture} with weights {card.weights!r} does not tell "
                "it; give what the weights were trained with"
            )
        try:
            found[field.name] = msgspec.convert(own[field.name], field.type)
        except msgspec.ValidationError as error:
            raise BundleError(
                f"{missing}, and {card.architecture} was trained with {own[field.name]!r}, which "
                f"is not supported ({error}); give another value, or take another tower"
            ) from error
    return msgspec.structs.replace(card, **found)


def side_of(size: object) -> int | None:
    """Side in pixels of a square input, from a number, (height, width) or None.

    Raises:
        BundleError: if it is not square.
    """
    sides = {*size} if isinstance(size, (tuple, list)) else {size}
    if len(sides) > 1:
        raise BundleError(
            f"field `frame_encoder.image_px` is the side of a square, but the tower takes {size}"
        )
    side = sides.pop()
    return side if isinstance(side, int) else None


def of_open_clip(config: Mapping[str, Any]) -> dict[str, Any]:
    """From the `preprocess_cfg` of open_clip, be it of a model or of a pretrained tag."""
    said = {name: value for name, value in config.items() if value is not None}
    mode = said.get("resize_mode", "shortest")
    padded_with_black = mode != "longest" or said.get("fill_color", 0) == 0
    return CLIP | {
        "crop": _OPEN_CLIP_CROPS.get(mode, mode) if padded_with_black else "longest",
        "interpolation": said.get("interpolation", "bicubic"),
        "mean": said.get("mean", CLIP["mean"]),
        "std": said.get("std", CLIP["std"]),
    }


def agreed(configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The fields on which several configurations agree."""
    first = configs[0]
    return {k: v for k, v in first.items() if all(other[k] == v for other in configs)}


def of_timm(config: Mapping[str, Any]) -> dict[str, Any]:
    """From what `timm.data.resolve_data_config` gives."""
    return {
        "crop": config["crop_mode"],
        "crop_pct": config["crop_pct"],
        "interpolation": config["interpolation"],
        "mean": config["mean"],
        "std": config["std"],
    }


def of_hugging_face(folder: Path) -> dict[str, Any]:
    """From the `preprocessor_config.json` of a `CLIPModel` folder; CLIP's where there is none.

    Raises:
        BundleError: if the file is no such configuration.
    """
    path = folder / "preprocessor_config.json"
    own = CLIP | {"crop": "center_floor"}
    if not path.is_file():
        return own
    try:
        said = json.loads(path.read_bytes())
        resample = said.get("resample", 3)
        return own | {
            "crop": _hugging_face_crop(said),
            "interpolation": _PILLOW.get(resample, resample),
            "mean": said.get("image_mean", own["mean"]),
            "std": said.get("image_std", own["std"]),
        }
    except (ValueError, AttributeError, TypeError) as error:
        raise BundleError(f"{path} is not a CLIP processor's configuration: {error}") from error


def _hugging_face_crop(said: Mapping[str, Any]) -> object:
    """`center_floor` where the shorter side is scaled to what is then cut; else as it says."""
    size, cut = said.get("size", 224), said.get("crop_size", 224)
    edge = size.get("shortest_edge") if isinstance(size, dict) else size
    sides = set(cut.values()) if isinstance(cut, dict) else {cut}
    steps = [said.get(step, True) for step in ("do_resize", "do_center_crop", "do_normalize")]
    return "center_floor" if {edge} == sides and all(steps) else {"size": size, "crop_size": cut}
