"""`encoders.toml`: both encoders of UE-MCM by name, weights and sizes; presets, writer, reader."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from egomon.branches.bundle.card import FrameEncoderCard, LargeEncoderCard
from egomon.branches.bundle.card_check import encoder_problems
from egomon.errors import ConfigError


class Encoders(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The two frozen encoders that feature sets are made with; folders are full paths."""

    frame_encoder: FrameEncoderCard
    """phi_s, a vector a frame."""
    large_encoder: LargeEncoderCard | None = None
    """phi_l, a vector a segment; None = no large branch."""


def _qwen(size: str, dim: int) -> LargeEncoderCard:
    # 384 px are the least that the model's own processor hands over: 144 tokens a frame pair.
    weights = f"Qwen/Qwen3-VL-Embedding-{size}"
    return LargeEncoderCard(
        weights=weights,
        frame_px=384,
        crop="letterbox",
        sampling="source",
        rules="official",
        max_tokens=2304,
        dim=dim,
    )


def _preset(
    library: str, architecture: str, weights: str, image_px: int, dim: int, large: LargeEncoderCard
) -> Encoders:
    frame = FrameEncoderCard(
        library=library, architecture=architecture, weights=weights, image_px=image_px, dim=dim
    )
    return Encoders(frame_encoder=frame, large_encoder=large)


_2B, _8B = _qwen("2B", 2048), _qwen("8B", 4096)
_DCR = ("dcr", "ViT-L-14-quickgelu", "dcr-clip-vit-large-patch14", 224, 768)
PRESETS: dict[str, Encoders] = {
    "paper": _preset(*_DCR, _2B),
    "paper-8b": _preset(*_DCR, _8B),
    "clip-b32": _preset("open_clip", "ViT-B-32-quickgelu", "openai", 224, 512, _2B),
    "siglip2": _preset("open_clip", "ViT-B-16-SigLIP2", "webli", 224, 768, _2B),
    "pe-core": _preset("timm", "vit_pe_core_base_patch16_224.fb", "pretrained", 224, 768, _2B),
    "dinov2": _preset("timm", "vit_base_patch14_dinov2.lvd142m", "pretrained", 518, 768, _2B),
    "lite0": _preset("lite0", "efficientnet-lite0", "package", 224, 1280, _2B),
}
"""`paper` is UE-MCM's pair; the paper names neither the size of CLIP nor that of Qwen."""

_HEAD = """\
# Encoders of `egomon extract VIDEOS --encoders THIS_FILE -o VECTORS`, preset {name}.
# Relative paths start in this file's folder. All of this goes into the vectors and the bundle,
# with a hash of the weights, and must be the same in training and live use.
"""
_FRAME_NOTES = {
    "library": "open_clip, timm, dcr, lite0, or what an installed package brings",
    "architecture": "the library's name of the image tower",
    "weights": "a pretrained tag (timm: `pretrained`), a file, a folder or a hub id",
    "image_px": "side of its square input",
    "dim": "length of a frame vector",
}
_DCR_NOTE = "the folder that the DCR authors publish (CLIPModel): download it by hand"
_FRAME_REST = """\
# Preprocessing is the tower's own. To set it: crop ("center", "center_floor", "squash",
# "letterbox"), crop_pct (above 0 to 1), interpolation ("bicubic", "bilinear"), mean and std.
"""
_LARGE_NOTES = {
    "weights": "hub id or folder of a Qwen3-VL-Embedding model",
    "instruction": "the system prompt",
    "frames": "uniform frames of a segment (even)",
    "frame_px": "side of a frame; below 384 is less than the model's own least size",
    "crop": "letterbox keeps a frame's proportions, squash does not",
    "sampling": "source: of all frames of the video; grid: of those that frame vectors are of",
    "rules": "official: as the model's authors feed it; fixed: frames are repeated up to `frames`",
    "max_tokens": "most visual tokens of a segment: frames / 2 * (frame_px / 32)^2 must fit",
    "dim": "the vector is cut to so many values (Matryoshka), at least 64",
}


def preset_text(name: str) -> str:
    """The commented file of a preset.

    Raises:
        ConfigError: if there is no such preset.
    """
    if name not in PRESETS:
        raise ConfigError(f"no preset is called {name!r}; there are: {', '.join(PRESETS)}")
    preset = PRESETS[name]
    frame, large = preset.frame_encoder, preset.large_encoder
    notes = _FRAME_NOTES | ({"weights": _DCR_NOTE} if frame.library == "dcr" else {})
    return "\n".join(
        [
            _HEAD.format(name=name),
            _table("frame_encoder", frame, notes) + _FRAME_REST,
            "# Not run with --no-large.",
            _table("large_encoder", large, _LARGE_NOTES),
        ]
    )


def _table(name: str, card: object, notes: Mapping[str, str]) -> str:
    values = {field: msgspec.json.encode(getattr(card, field)).decode() for field in notes}
    lines = [f"{field} = {value}  # {notes[field]}" for field, value in values.items()]
    return "\n".join([f"[{name}]", *lines, ""])


def read_encoders(path: Path) -> Encoders:
    """Read and check a file; nothing is loaded.

    Raises:
        ConfigError: if it cannot be read, a field is unknown or missing or has a bad value.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror}); `egomon models new` writes such a file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no TOML: {error}") from error
    try:
        found = msgspec.convert(table, Encoders)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"{path}: {error}; `egomon models new` writes a file with every field"
        ) from error
    found = _full_paths(found, path.resolve().parent)
    for problem in encoder_problems(found.frame_encoder, found.large_encoder):
        raise ConfigError(f"{path}: {problem}")
    return found


def _full_paths(found: Encoders, folder: Path) -> Encoders:
    def full(card: Any) -> Any:
        if card is None or card.weights is None or not (folder / card.weights).exists():
            return card
        return msgspec.structs.replace(card, weights=str((folder / card.weights).resolve()))

    return Encoders(
        frame_encoder=full(found.frame_encoder), large_encoder=full(found.large_encoder)
    )
