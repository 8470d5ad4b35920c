"""Weights between NumPy and torch: the state of modules, and filling modules strictly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from egomon.branches.bundle.weights import Tensors, check_shapes, hash_arrays
from egomon.errors import BundleError

Module = TypeVar("Module", bound=nn.Module)
StateDict = dict[str, Tensor]
"""A state dict."""


def to_arrays(state: Mapping[str, Tensor]) -> Tensors:
    """Arrays of a state dict, as a bundle stores them; bfloat16, which NumPy lacks, as float32."""
    return {name: _array(value) for name, value in state.items()}


def to_torch(tensors: Mapping[str, NDArray[Any]]) -> StateDict:
    """Tensors of a bundle's arrays, with memory of their own."""
    return {name: torch.from_numpy(np.array(value)) for name, value in tensors.items()}


def state_sha256(state: Mapping[str, Tensor]) -> str:
    """`weights_sha256` of a state dict; a large model is converted one tensor at a time."""
    return hash_arrays((name, _array(state[name])) for name in sorted(state))


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Shapes of a module's state, by name."""
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def fill(build: Callable[[], Module], tensors: Mapping[str, NDArray[Any]], where: str) -> Module:
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
    check_shapes(shapes_of(module), tensors, where)
    state = {k: v.float() if v.is_floating_point() else v for k, v in to_torch(tensors).items()}
    module.load_state_dict(state, strict=True, assign=True)
    return module.eval().requires_grad_(False)


def _array(value: Tensor) -> NDArray[Any]:
    value = value.detach()
    if value.dtype == torch.bfloat16:
        value = value.float()
    array: NDArray[Any] = value.cpu().contiguous().numpy()
    return array
