"""Checks a card's values, so a bad one is named before any weight is touched; without torch."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import PurePath

import msgspec

from egomon.branches.bundle.card import (
    BUNDLE_SCHEMA,
    BundleCard,
    FrameEncoderCard,
    LargeEncoderCard,
)
from egomon.errors import BundleError
from egomon.plugins import NAME as PLUGIN_NAME

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""Bundle names are folder names and parts of topics and ids."""

# Far above any network in use: a card with more is damaged or hostile, and would ask for gigabytes.
MAX_WIDTH = 65_536
MAX_IMAGE_PX = 4_096
MAX_FRAMES = 4_096
MAX_LAYERS = 64
TOKEN_PX = 32
"""Side of the square that a visual token stands for, in each of two frames."""
OFFICIAL_LEAST_TOKENS = 128
"""Of a pair of frames; the authors' code enlarges smaller ones (their VIDEO_MIN_TOKEN_NUM)."""
MAX_MEMBERS = 64
MAX_POSITIONS = 77
"""Number of positions of seqTransf: CLIP's text positions, which it starts from."""


def check_card(card: BundleCard) -> None:
    """Check the values of a card.

    Raises:
        BundleError: naming the first field that is wrong.
    """
    for problem in _problems(card):
        raise BundleError(problem)


def _problems(card: BundleCard) -> Iterator[str]:
    if card.schema != BUNDLE_SCHEMA:
        yield (
            f"field `schema` is {card.schema}, but this egomon reads schema {BUNDLE_SCHEMA}; "
            "use the egomon version that wrote the bundle, or train it again"
        )
    if not NAME_PATTERN.fullmatch(card.name):
        yield (
            f"field `name` is {card.name!r}; a name has 1 to 64 characters out of "
            "a-z, 0-9, '.', '_', '-' and starts with a letter or digit"
        )
    yield from _numbers(card, "")
    yield from _encoder(card.frame_encoder)
    yield from _small(card)
    if card.large is not None:
        yield from _large(card.large, "large")
    if (card.large is None) != (card.gate is None):
        yield "fields `large` and `gate` go together: either both are null or both are set"


def encoder_problems(frame: FrameEncoderCard, large: LargeEncoderCard | None) -> Iterator[str]:
    """Tell what is wrong with encoders that are in no card yet; `bundle` means nothing to them."""
    for path, card in (("frame_encoder", frame), ("large_encoder", large)):
        if card is not None and card.weights == "bundle":
            yield f"field `{path}.weights` is 'bundle', which only a bundle's own card may say"
    if frame.library in ("none", "bundled"):
        yield f"field `frame_encoder.library` is {frame.library!r}, which only a bundle can have"
    yield from _encoder(frame)
    if large is not None:
        yield from _large(large, "large_encoder")


def _numbers(value: msgspec.Struct, path: str) -> Iterator[str]:
    """Every number of the card, nested ones too, must be finite."""
    for name in value.__struct_fields__:
        item = getattr(value, name)
        if isinstance(item, msgspec.Struct):
            yield from _numbers(item, f"{path}{name}.")
        elif isinstance(item, float) and not math.isfinite(item):
            yield f"field `{path}{name}` is {item}, not a finite number"


def _range(path: str, value: float, low: float, high: float) -> Iterator[str]:
    if not low <= value <= high:
        yield f"field `{path}` is {value}, not within {low} to {high}"


def _encoder(card: FrameEncoderCard) -> Iterator[str]:
    if not PLUGIN_NAME.fullmatch(card.library):
        yield f"field `frame_encoder.library` is {card.library!r}, which is no name of a library"
    yield from _range("frame_encoder.image_px", card.image_px, 1, MAX_IMAGE_PX)
    yield from _range("frame_encoder.dim", card.dim, 1, MAX_WIDTH)
    if card.crop_pct is not None and not 0.1 <= card.crop_pct <= 1:
        yield f"field `frame_encoder.crop_pct` is {card.crop_pct}, not within 0.1 to 1"
    if not all(math.isfinite(v) for v in card.mean or ()):
        yield "field `frame_encoder.mean` has a value that is not finite"
    if not all(math.isfinite(v) and v > 0 for v in card.std or ()):
        yield "field `frame_encoder.std` has a value that is not above 0"
    yield from _weights("frame_encoder.weights", card.weights)


def _weights(path: str, weights: str | None) -> Iterator[str]:
    # A downloaded card must not reach outside of its folder by a relative path.
    if weights is not None and (".." in PurePath(weights).parts or "\0" in weights):
        yield f"field `{path}` is {weights!r}; a path in a card must not contain '..'"


def _small(card: BundleCard) -> Iterator[str]:
    small, stream = card.small, card.stream
    yield from _range("small.width", small.width, 1, MAX_WIDTH)
    yield from _range("small.members", small.members, 1, MAX_MEMBERS)
    yield from _range("small.header_layers", small.header_layers, 0, MAX_LAYERS)
    yield from _range("small.header_heads", small.header_heads, 0, MAX_WIDTH)
    yield from _range("small.header_width", small.header_width, 0, MAX_WIDTH)
    most = MAX_POSITIONS if small.header != "meanP" else MAX_FRAMES
    yield from _range("stream.fine_frames", stream.fine_frames, 1, most)
    yield from _range("stream.context_frames", stream.context_frames, 1, most)
    yield from _range("stream.fps", stream.fps, 0.01, 1000)
    yield from _range("large_width", card.large_width, 1, MAX_WIDTH)
    yield from _range("activity_width", card.activity_width, 0, MAX_WIDTH)
    if card.gate is not None:
        yield from _range("gate.width", card.gate.width, 1, MAX_WIDTH)
    for name in ("calibration_small", "calibration_fused"):
        temperature = getattr(card.decision, name).temperature
        if not temperature > 0:
            yield f"field `decision.{name}.temperature` is {temperature}, not above 0"


def _large(card: LargeEncoderCard, path: str) -> Iterator[str]:
    yield from _range(f"{path}.frames", card.frames, 2, MAX_FRAMES)
    yield from _range(f"{path}.frame_px", card.frame_px, 32, MAX_IMAGE_PX)
    yield from _range(f"{path}.dim", card.dim, 1, MAX_WIDTH)
    yield from _range(f"{path}.least_cosine", card.least_cosine, 0, 1)
    yield from _weights(f"{path}.weights", card.weights)
    if card.frames % 2:
        yield f"field `{path}.frames` is {card.frames}, but frames go in pairs: take an even number"
    if card.frame_px % TOKEN_PX:
        yield f"field `{path}.frame_px` is {card.frame_px}, not a multiple of 32 px (one token)"
    least = OFFICIAL_LEAST_TOKENS if card.rules == "official" else 1
    if (card.frame_px // TOKEN_PX) ** 2 < least:
        yield (
            f"field `{path}.frame_px` is {card.frame_px}, but with the rules `official` a pair of "
            f"frames has at least {least} visual tokens: take 384 or more"
        )
    tokens = visual_tokens(card)
    if tokens > card.max_tokens:
        yield (
            f"field `{path}.max_tokens` is {card.max_tokens}, but {card.frames} frames of "
            f"{card.frame_px} px make {tokens} visual tokens; allow more or take smaller frames"
        )


def visual_tokens(card: LargeEncoderCard) -> int:
    """Visual tokens of one clip: (T / 2) (px / 32)^2."""
    return card.frames // 2 * (card.frame_px // TOKEN_PX) ** 2
