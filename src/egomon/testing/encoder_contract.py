"""Contract of every frame encoder."""

from __future__ import annotations

import numpy as np

from egomon.branches.interfaces import FrameEncoder
from egomon.stream.frame import UInt8Image
from egomon.testing.expect import expect, in_thread

THREAD_SECONDS = 60.0
# Upright and across, smaller and larger than any network's input.
SIZES = ((48, 64), (64, 48), (720, 1280))


def check_encoder(encoder: FrameEncoder, *, tolerance: float = 1e-3) -> None:
    """Prepare and encode made-up pictures and compare with what `FrameEncoder` promises.

    Args:
        encoder: loaded.
        tolerance: by how much a vector may depend on the frames beside it, as a share of its
            length; sums of another order differ in their last digits.

    Raises:
        AssertionError: a promise is not kept.
    """
    expect(
        isinstance(encoder, FrameEncoder),
        f"an object of type {type(encoder).__name__} is no encoder: "
        "dim, image_px, prepare or encode is missing",
    )
    expect(encoder.dim > 0, f"dim is {encoder.dim}, not above 0")
    expect(encoder.image_px > 0, f"image_px is {encoder.image_px}, not above 0")
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]
    prepared = [_check_prepare(encoder, picture) for picture in pictures]
    _check_encode(encoder, np.stack(prepared), tolerance)


def _check_prepare(encoder: FrameEncoder, rgb: UInt8Image) -> UInt8Image:
    before, px = rgb.copy(), encoder.image_px
    first = encoder.prepare(rgb)
    expect(
        first.shape == (px, px, 3) and first.dtype == np.uint8,
        f"prepare gives {first.shape} {first.dtype} for {rgb.shape}, not ({px}, {px}, 3) uint8",
    )
    expect(np.array_equal(rgb, before), "prepare changes the picture that it is given")
    first.setflags(write=False)  # as the buffer does
    others: list[UInt8Image] = []
    in_thread(
        lambda: others.append(encoder.prepare(rgb)),
        THREAD_SECONDS,
        f"prepare takes more than {THREAD_SECONDS:g} s in another thread",
    )
    expect(np.array_equal(first, others[0]), "prepare gives another result in another thread")
    expect(
        not np.shares_memory(first, others[0]) or np.shares_memory(first, rgb),
        "prepare gives the same array twice; each frame is kept, so each needs its own",
    )
    return first


def _check_encode(encoder: FrameEncoder, images: UInt8Image, tolerance: float) -> None:
    vectors = encoder.encode(images)
    wanted = (len(images), encoder.dim)
    expect(
        vectors.shape == wanted and vectors.dtype == np.float32,
        f"encode gives {vectors.shape} {vectors.dtype}, not {wanted} float32",
    )
    expect(np.isfinite(vectors).all(), "encode gives a value that is not finite")
    expect(
        np.array_equal(vectors, encoder.encode(images)),
        "encode gives other vectors the second time",
    )
    expect(
        len(np.unique(vectors, axis=0)) == len(images), "encode gives one vector for two pictures"
    )
    for image, vector in zip(images, vectors, strict=True):
        alone = encoder.encode(image[None])[0]
        away = float(np.linalg.norm(alone - vector) / max(float(np.linalg.norm(vector)), 1e-12))
        expect(
            away <= tolerance,
            f"a frame's vector depends on the frames beside it (by {away:.2g} of its length): "
            "vectors are kept and used again, so they must not",
        )
