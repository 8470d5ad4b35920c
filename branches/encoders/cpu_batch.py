"""How many frames a call of a frame encoder takes on CPU."""

from __future__ import annotations

MOST_FRAMES = 8
"""Larger batches gained nothing."""
_PIXELS = 2 * 224 * 224
"""Of a call of small networks: feature maps past the allocator's bound are mapped anew for each
layer, which cost EfficientNet-Lite0 a third of its time (45 ms a frame in eights, 33 in ones)."""
_LARGE_BYTES = 64 * 10**6
"""Weights that no cache holds are read from memory at each call, so that more frames share it:
ViT-B/32 takes 101 ms a frame in eights and 120 in twos (in ONNX Runtime 89 and 93), ViT-S/32 28 and
34; ViT-B/16, ResNet-50 and ConvNeXt-T lose nothing. One core, square side 224."""


def cpu_batch(image_px: int, weight_bytes: int) -> int:
    """Most frames of a call.

    Args:
        image_px: side of the square input, pixels.
        weight_bytes: size of all weights in float32.
    """
    if weight_bytes >= _LARGE_BYTES:
        return MOST_FRAMES
    return max(1, min(MOST_FRAMES, _PIXELS // image_px**2))
