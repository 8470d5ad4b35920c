"""Extras: optional packages of a feature, and one sentence where they are missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from egomon.errors import MissingExtraError

EXTRAS: dict[str, tuple[str, ...]] = {
    "torch": ("torch", "transformers", "open_clip", "timm"),
    "hub": ("huggingface_hub",),
    "dcr": ("diffusers",),
    "train": ("sklearn", "matplotlib"),
    "sinks": ("apprise", "httpx", "paho"),
    "pupil": ("zeroconf",),
}
"""Extra to the modules that it brings."""


def is_installed(extra: str) -> bool:
    """True if all modules of an extra can be imported; none is imported."""
    return all(find_spec(module) is not None for module in EXTRAS[extra])


@contextmanager
def needs_extra(feature: str, extra: str) -> Iterator[None]:
    """Tell a missing module of an extra in one sentence.

    Args:
        feature: what needs it, the subject of the sentence.
        extra: a key of `EXTRAS`.

    Raises:
        MissingExtraError: instead of a ModuleNotFoundError for one of the extra's modules.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRAS[extra]:
            raise
        raise MissingExtraError(feature, extra) from error
