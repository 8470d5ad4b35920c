"""The probe: a clip made by code whose vector the bundle holds, to compare a server with."""

from __future__ import annotations

import base64
import binascii

import numpy as np
from numpy.typing import NDArray

from egomon.branches.bundle.card import LargeEncoderCard
from egomon.branches.interfaces import Float32
from egomon.errors import BundleError, LargeEndpointError

# Half precision: an error of 1e-7 in the cosine, and half as many characters in the card.
_STORED = np.dtype("<f2")


def probe_clip(card: LargeEncoderCard) -> tuple[NDArray[np.uint8], list[float]]:
    """(T, S, S, 3) frames and their seconds, the same on every machine: integers only.

    A coloured square moves over a slanted pattern, at uneven times, so that colour, place, order
    and time all count.
    """
    side, count = card.frame_px, card.frames
    rows, columns = np.mgrid[:side, :side]
    ground = np.stack(
        [rows * 255 // side, columns * 255 // side, (rows + 2 * columns) * 8 // side % 2 * 120], -1
    )
    frames = np.repeat(ground[None].astype(np.uint8), count, axis=0)
    size = side // 4
    for i, frame in enumerate(frames):
        left = (side - size) * i // max(1, count - 1)
        top = (side - size) * (count - 1 - i) ** 2 // max(1, count - 1) ** 2
        frame[top : top + size, left : left + size] = (250, 255 * i // count, 40)
    return frames, [i * 0.125 + 0.01 * (i % 3) for i in range(count)]


def encode_vector(vector: Float32) -> str:
    """A vector (D,) as text for the card."""
    return base64.b64encode(vector.astype(_STORED).tobytes()).decode()


def decode_vector(card: LargeEncoderCard) -> Float32:
    """The probe's vector (dim,) in the card.

    Raises:
        BundleError: it is damaged, or of another length.
    """
    try:
        vector = np.frombuffer(base64.b64decode(card.probe, validate=True), _STORED)
    except (binascii.Error, ValueError) as error:
        raise BundleError(f"field `large.probe` is damaged ({error}); copy the bundle") from error
    if vector.shape != (card.dim,) or not np.isfinite(vector).all():
        raise BundleError(f"field `large.probe` is no vector of {card.dim} values; copy the bundle")
    return vector.astype(np.float32)


def cut(card: LargeEncoderCard, vector: Float32, shown: str) -> Float32:
    """A server's vector (D,) as h_l: the leading `dim` values, of length 1.

    Raises:
        LargeEndpointError: it is too short, so it is of another model.
    """
    if len(vector) < card.dim:
        raise LargeEndpointError(
            f"{shown} gives vectors of {len(vector)} values, but the bundle's heads take "
            f"{card.dim}: it serves another model; `egomon serve-large` prints the command"
        )
    leading = vector[: card.dim]
    length = float(np.linalg.norm(leading))
    if length == 0.0:
        raise LargeEndpointError(f"{shown} gave a vector that begins with zeros only")
    return leading / np.float32(length)


def check_parity(card: LargeEncoderCard, expected: Float32, found: Float32, shown: str) -> float:
    """Cosine of a server's probe vector with the bundle's, both of length 1.

    Raises:
        LargeEndpointError: below the card's `least_cosine`.
    """
    cosine = float(expected @ found / np.linalg.norm(expected))
    if cosine < card.least_cosine:
        raise LargeEndpointError(
            f"{shown} gives another vector than the bundle's model for the same clip: cosine "
            f"{cosine:.4f}, at least {card.least_cosine:g} is needed; start it with the "
            "command that `egomon serve-large` prints"
        )
    return cosine
