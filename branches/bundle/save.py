"""Writes a bundle folder: complete or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from egomon.branches.bundle.card import BundleCard
from egomon.branches.bundle.card_check import NAME_PATTERN, check_card
from egomon.branches.bundle.locate import (
    CARD_FILE,
    EXTRA_FILES,
    LARGE_FOLDER,
    ONNX_FOLDER,
    RECORD_FILE,
    WEIGHTS_FILE,
)
from egomon.branches.bundle.weights import check_finite, part, weights_sha256
from egomon.errors import BundleError

PREFIXES = ("encoder.", "small.", "large_head.", "gate.", "guard.", "activity.")
"""Parts of `model.safetensors`."""


def save_bundle(
    folder: str | Path,
    card: BundleCard,
    tensors: Mapping[str, NDArray[Any]],
    large_folder: Path | None = None,
    files: Mapping[str, str] | None = None,
    onnx_folder: Path | None = None,
    record: bytes | None = None,
    former: Path | None = None,
) -> Path:
    """Write `bundle.json` and `model.safetensors`; a bundle that was there is replaced.

    All is written beside the target and then renamed, so a reader never sees half a bundle.

    Args:
        folder: target folder, or a link to it; its parent is created.
        card: the card.
        tensors: all weights, named with the prefixes in `PREFIXES`.
        large_folder: a model folder to copy to `large/`, for `large.weights = "bundle"`; vLLM can
            serve the copy, and the card gets the vector that a server is compared with.
        files: text of further files by name, such as `workflow.toml`.
        onnx_folder: holds the ONNX files that the card pins; those are copied.
        record: of the training, for `train_record.json`.
        former: beside `folder`; a bundle that was there is moved to it, in place of a bundle
            there. None = it is deleted.

    Raises:
        BundleError: if the card or a tensor could not be loaded again, or `folder` or `former`
            holds something that is no bundle, or cannot be written.
    """
    folder = Path(folder)
    if folder.is_symlink():  # it stays, and what it leads to is replaced
        folder = Path(os.path.realpath(folder))
    check_card(card)
    if card.frame_encoder != card.frame_encoder.recorded():
        raise BundleError(
            "field `frame_encoder.interpolation`, or another of its preprocessing, is missing: "
            "give the card of the encoder that made the vectors (`encoder.card`)"
        )
    check_finite(tensors, "the weights to save")
    for name in tensors:
        if not name.startswith(PREFIXES):
            raise BundleError(f"tensor {name!r} has none of the prefixes {', '.join(PREFIXES)}")
    _check_encoder_hash(card, tensors)
    if card.runtime and onnx_folder is None:
        raise BundleError("field `runtime` pins ONNX files; give the folder that they are in")
    for name in files or {}:
        if not fnmatch(name, EXTRA_FILES) or not NAME_PATTERN.fullmatch(name):
            raise BundleError(f"file {name!r} cannot be in a bundle; name it like {EXTRA_FILES}")
    check_target(folder)
    if former is not None:
        check_target(former)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
            new = Path(scratch, "new")
            new.mkdir()
            if large_folder is not None:
                card = _copy_large(new, card, large_folder)
            _write(new, card, tensors)
            if onnx_folder is not None:
                _copy_pinned(onnx_folder, new / ONNX_FOLDER, card)
            for name, text in (files or {}).items():
                (new / name).write_text(text, encoding="utf-8")
            if record is not None:
                (new / RECORD_FILE).write_bytes(record)
            if former is not None and folder.exists():
                if former.exists():
                    former.rename(Path(scratch, "older"))
                folder.rename(former)
            elif folder.exists():
                folder.rename(Path(scratch, "old"))
            new.rename(folder)
    except OSError as error:
        raise BundleError(
            f"cannot write {folder}: {error.strerror or error}; free its disk, or name another"
        ) from error
    return folder


def check_target(folder: Path) -> None:
    """Whether a bundle may be written there.

    Raises:
        BundleError: it holds something that is no bundle.
    """
    if folder.exists() and not ((folder / CARD_FILE).is_file() or _is_empty(folder)):
        raise BundleError(f"{folder} exists and is not a bundle; choose another folder")


def card_json(card: BundleCard) -> bytes:
    """Indented JSON with the fields in their order; the same card gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n"


def _check_encoder_hash(card: BundleCard, tensors: Mapping[str, NDArray[Any]]) -> None:
    expected = card.frame_encoder.weights_sha256
    if card.frame_encoder.weights != "bundle" or expected is None:
        return
    found = weights_sha256(part(tensors, "encoder."))
    if found != expected:
        raise BundleError(
            f"field `frame_encoder.weights_sha256` is {expected}, but the tensors under `encoder.` "
            f"have {found}; compute it on the values that are saved"
        )


def _copy_large(folder: Path, card: BundleCard, large_folder: Path) -> BundleCard:
    """Copy the model as vLLM serves it; the card with the vector that a server is compared with."""
    from egomon.branches.remote.load import with_probe
    from egomon.branches.remote.vllm_folder import copy_model_folder

    copy_model_folder(large_folder, folder / LARGE_FOLDER)
    if card.large is None or card.large.weights != "bundle":
        return card
    return msgspec.structs.replace(card, large=with_probe(card.large, folder))


def _write(folder: Path, card: BundleCard, tensors: Mapping[str, NDArray[Any]]) -> None:
    # Unlike `ascontiguousarray` this leaves numbers without axes as they are.
    stored = {name: np.asarray(tensors[name], order="C") for name in sorted(tensors)}
    (folder / WEIGHTS_FILE).write_bytes(safetensors.numpy.save(stored))
    (folder / CARD_FILE).write_bytes(card_json(card))
    for name in (WEIGHTS_FILE, CARD_FILE):
        with (folder / name).open("rb") as file:
            os.fsync(file.fileno())


def _copy_pinned(source: Path, target: Path, card: BundleCard) -> None:
    for name in card.runtime:
        target.mkdir(exist_ok=True)
        try:
            shutil.copyfile(source / name, target / name)
        except OSError as error:
            raise BundleError(f"{source / name} cannot be copied ({error.strerror})") from error


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())
