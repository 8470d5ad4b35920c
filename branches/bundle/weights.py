"""Weights: reading safetensors, hashing, and filling modules strictly. Nothing is unpickled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TypeVar

import safetensors.torch
import torch
from torch import Tensor, nn

from egomon.errors import BundleError

Tensors = dict[str, Tensor]
Module = TypeVar("Module", bound=nn.Module)

_SHOWN = 3
"""Names listed in a message."""


def parse_safetensors(data: bytes, where: str) -> Tensors:
    """Tensors from the bytes of a safetensors file, checked to be finite.

    Raises:
        BundleError: if the file is truncated or damaged, or a tensor holds NaN or infinity.
    """
    try:
        tensors: Tensors = safetensors.torch.load(data)
    except Exception as error:  # the parser's errors have no common type; all mean the same here
        raise BundleError(
            f"{where} is damaged or truncated ({error}); copy or train the bundle again"
        ) from error
    check_finite(tensors, where)
    return tensors


def check_finite(tensors: Mapping[str, Tensor], where: str) -> None:
    """Refuse NaN and infinity.

    Raises:
        BundleError: naming the first such tensor.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor.float()).all():
            raise BundleError(
                f"{where}: {name} has values that are not finite; the training run diverged "
                "or the file is damaged"
            )


def weights_sha256(state: Mapping[str, Tensor]) -> str:
    """Hash of a state dict: names, shapes and values, in sorted order.

    Floating-point values are hashed as float32, so that the same weights stored in another
    format with the same values have the same hash.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach()
        if value.is_floating_point():
            value = value.float()
        array = value.cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view("uint8").data)
    return digest.hexdigest()


def part(tensors: Mapping[str, Tensor], prefix: str) -> Tensors:
    """Tensors under a prefix (`small.`), without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def fill(build: Callable[[], Module], tensors: Mapping[str, Tensor], where: str) -> Module:
    """Build a module and load exactly these tensors into it, as float32, for inference.

    The module is first built without memory, so that sizes in a damaged card cost nothing.

    Args:
        build: makes the module; all its state must be in `tensors`.
        tensors: the state, any floating-point format.
        where: what is being loaded, for messages.

    Raises:
        BundleError: if names or shapes differ, or the module cannot be built as the card says.
    """
    try:
        with torch.device("meta"):
            module = build()
    except Exception as error:  # whatever torch refuses, it refuses the card's sizes
        raise BundleError(f"{where} cannot be built as the card says: {error}") from error
    check_shapes(module.state_dict(), tensors, where)
    state = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    module.load_state_dict(state, strict=True, assign=True)
    return module.eval().requires_grad_(False)


def check_shapes(expected: Mapping[str, Tensor], given: Mapping[str, Tensor], where: str) -> None:
    """Refuse missing, unexpected or wrongly shaped tensors.

    Raises:
        BundleError: naming them.
    """
    missing = sorted(expected.keys() - given.keys())
    if missing:
        raise BundleError(f"{where}: {_some(missing)} missing from the weights")
    unexpected = sorted(given.keys() - expected.keys())
    if unexpected:
        raise BundleError(
            f"{where}: the weights hold {_some(unexpected)} that the card does not need"
        )
    for name, tensor in expected.items():
        if tensor.shape != given[name].shape:
            raise BundleError(
                f"{where}: {name} has shape {tuple(given[name].shape)} in the weights, but the "
                f"card asks for {tuple(tensor.shape)}; card and weights are from different bundles"
            )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
