"""Weights: reading safetensors, hashing and checking arrays. Nothing is unpickled, no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import safetensors
from numpy.typing import NDArray

from egomon.errors import BundleError

Tensors = dict[str, NDArray[Any]]
"""Arrays by name, as the part of `model.safetensors` that they come from."""

_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|b1",
}
# Names listed in a message.
_SHOWN = 3


class HasShape(Protocol):
    """An array of any library."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of its axes."""


def parse_safetensors(data: bytes, where: str) -> Tensors:
    """Read arrays from the bytes of a safetensors file, checked to be finite.

    NumPy has no bfloat16: such tensors come as float32, which holds the same values.

    Raises:
        BundleError: if the file is truncated or damaged, has a type that no bundle uses, or a
            tensor holds NaN or infinity.
    """
    try:
        parts: list[tuple[str, Any]] = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
        tensors = {name: _array(**about) for name, about in parts}
    except Exception as error:  # the parser's errors have no common type; all mean the same here
        raise BundleError(
            f"{where} is damaged or truncated ({error}); copy or train the bundle again"
        ) from error
    check_finite(tensors, where)
    return tensors


def _array(dtype: str, shape: list[int], data: bytes) -> NDArray[Any]:
    if dtype == "BF16":  # the upper half of a float32
        upper = np.frombuffer(data, "<u2").astype("<u4") << 16
        return upper.view("<f4").reshape(shape)
    if dtype not in _DTYPES:
        raise ValueError(f"tensors of type {dtype} are not known")
    # A copy: what is read is aligned, may be written, and does not hold the whole file.
    return np.frombuffer(data, _DTYPES[dtype]).reshape(shape).copy()


def check_finite(tensors: Mapping[str, NDArray[Any]], where: str) -> None:
    """Refuse NaN and infinity.

    Raises:
        BundleError: naming the first such tensor.
    """
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise BundleError(
                f"{where}: {name} has values that are not finite; the training run diverged "
                "or the file is damaged"
            )


def weights_sha256(state: Mapping[str, NDArray[Any]]) -> str:
    """Hash of weights: names, shapes and values, in sorted order.

    Floating-point values are hashed as float32, so that the same weights stored in another
    format with the same values have the same hash.
    """
    return hash_arrays((name, state[name]) for name in sorted(state))


def hash_arrays(arrays: Iterable[tuple[str, NDArray[Any]]]) -> str:
    """`weights_sha256` of names and arrays that come one by one, sorted by name."""
    digest = hashlib.sha256()
    for name, value in arrays:
        array = np.asarray(value, np.float32) if value.dtype.kind == "f" else value
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def part(tensors: Mapping[str, NDArray[Any]], prefix: str) -> Tensors:
    """Tensors under a prefix (`small.`), without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def check_shapes(
    expected: Mapping[str, tuple[int, ...]], given: Mapping[str, HasShape], where: str
) -> None:
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
    for name, shape in expected.items():
        if tuple(given[name].shape) != shape:
            raise BundleError(
                f"{where}: {name} has shape {tuple(given[name].shape)} in the weights, but the "
                f"card asks for {shape}; card and weights are from different bundles"
            )


def as_float32(
    expected: Mapping[str, tuple[int, ...]], given: Mapping[str, NDArray[Any]], where: str
) -> Tensors:
    """Check the shapes of weights and give them as float32.

    Raises:
        BundleError: if names or shapes differ.
    """
    check_shapes(expected, given, where)
    return {name: np.asarray(given[name], np.float32) for name in expected}


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
