"""Hash of the large encoder's stored weights, read piece by piece: no model, no torch, no copy."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from egomon.branches.bundle.card import LargeEncoderCard
from egomon.branches.bundle.locate import LARGE_FOLDER
from egomon.errors import BundleError

_FILES = "*.safetensors"
# Values converted at once: the largest matrix has 620 million.
_PIECE = 1 << 22
_KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}
_FLOATS = ("F64", "F32", "F16", "BF16")


def large_folder(weights: str, folder: Path) -> Path | None:
    """Local folder of the weights that a card names; None = a hub id that is not in the cache.

    Args:
        weights: of a card.
        folder: where relative paths start.
    """
    path = folder / (LARGE_FOLDER if weights == "bundle" else weights)
    if path.is_dir():
        return path
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        return None  # without the extra nothing comes from the hub
    try:
        config = try_to_load_from_cache(weights, "config.json")
    except HFValidationError:
        return None
    return Path(config).parent if isinstance(config, str) else None


def pinned(card: LargeEncoderCard, folder: Path) -> LargeEncoderCard:
    """The card with the hash of its weights, and with the full path of a local folder.

    Raises:
        BundleError: if the weights are damaged.
    """
    where = large_folder(card.weights, folder)
    if where is None:
        return card
    if card.weights == "bundle" or (folder / card.weights).is_dir():
        card = msgspec.structs.replace(card, weights=str(where.resolve()))
    if card.weights_sha256 is not None:
        return card
    return msgspec.structs.replace(card, weights_sha256=stored_sha256(where))


def check_large_weights(card: LargeEncoderCard | None, folder: Path | None = None) -> None:
    """Refuse a large encoder that was exchanged since the vectors were made, where it is at hand.

    Raises:
        BundleError: if its stored weights have another hash than the card's, or are damaged.
    """
    if card is None or card.weights_sha256 is None:
        return
    where = large_folder(card.weights, folder or Path())
    if where is None or not any(where.glob(_FILES)):
        return  # not here, or in another form, which has a hash of its own
    found = stored_sha256(where)
    if found != card.weights_sha256:
        raise BundleError(
            f"field `large.weights_sha256` is {card.weights_sha256}, but {card.weights!r} has "
            f"{found}: the vectors were made and the heads trained on other weights; get those, "
            "or extract and train again with these"
        )


def stored_sha256(folder: Path) -> str:
    """What `weights_sha256` gives for the loaded model: names, shapes, values as float32.

    Raises:
        BundleError: if the folder holds no safetensors, or one is damaged.
    """
    found: dict[str, tuple[Path, dict[str, Any]]] = {}
    for path in sorted(folder.glob(_FILES)):
        found |= {_name(name): (path, about) for name, about in _header(path).items()}
    found.pop("lm_head.weight", None)  # of the generating model; an embedding has no use for it
    if not found:
        raise BundleError(f"{folder} holds no *.safetensors; copy the model's folder again")
    digest = hashlib.sha256()
    for name in sorted(found):
        path, about = found[name]
        kind, shape = about["dtype"], tuple(about["shape"])
        stored = "<f4" if kind in _FLOATS else _KINDS[kind]
        digest.update(f"{name} {stored} {shape}\n".encode())
        for piece in _pieces(path, about):
            digest.update(piece.astype(stored, copy=False).data)
    return digest.hexdigest()


def _name(stored: str) -> str:
    """Published files are of the generating model, which holds the embedding one as `model`."""
    return stored.removeprefix("model.")


def _header(path: Path) -> dict[str, Any]:
    """Name -> dtype, shape and place of each tensor, offsets from the start of the file."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(size, 100 << 20):
                raise ValueError("impossible length of its header")
            header: dict[str, Any] = json.loads(file.read(length))
        header.pop("__metadata__", None)
        out = {}
        for name, about in header.items():
            start, end = (8 + length + offset for offset in about["data_offsets"])
            count = int(np.prod(about["shape"], dtype=np.int64))
            item = np.dtype(_KINDS[about["dtype"]]).itemsize
            if not (8 + length <= start <= end <= size and end - start == count * item):
                raise ValueError(f"{name} does not lie within the file")
            out[name] = {**about, "start": start, "count": count}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise BundleError(
            f"{path} is damaged or truncated ({error}); copy the model's folder again"
        ) from error
    return out


def _pieces(path: Path, about: dict[str, Any]) -> Iterator[NDArray[Any]]:
    if not about["count"]:
        return
    kind = about["dtype"]
    values = np.memmap(path, _KINDS[kind], "r", about["start"], (about["count"],))
    for start in range(0, len(values), _PIECE):
        piece = np.asarray(values[start : start + _PIECE])
        if kind == "BF16":  # the upper half of a float32
            piece = (piece.astype(np.uint32) << 16).view(np.float32)
        yield piece
