"""Finds bundles and reads their cards: bundled name, folder or hub id; without torch."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from egomon.branches.bundle.card import BundleCard
from egomon.branches.bundle.card_check import NAME_PATTERN, check_card
from egomon.errors import BundleError

CARD_FILE = "bundle.json"
WEIGHTS_FILE = "model.safetensors"
LARGE_FOLDER = "large"
ONNX_FOLDER = "onnx"
RECORD_FILE = "train_record.json"
"""How a bundle was trained; no part of its hash, since nothing that it does depends on it."""
EXTRA_FILES = "*.toml"
"""Files of a part that people may edit, such as a taught workflow."""
MAX_CARD_BYTES = 4 << 20
"""A card is a few kB; anything bigger is not read."""

BUNDLED_ROOT = Path(__file__).parents[1] / "bundles"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """One line of `egomon models`."""

    name: str
    folder: Path
    card: BundleCard
    nbytes: int
    """Total size of its files."""


def read_card(folder: Path) -> BundleCard:
    """Read and check `bundle.json`.

    Raises:
        BundleError: if it is missing, not JSON of this schema, or has an impossible value.
    """
    return parse_card(read_card_bytes(folder), str(folder / CARD_FILE))


def read_card_bytes(folder: Path) -> bytes:
    """The bytes of `bundle.json`.

    Raises:
        BundleError: if it cannot be read or is too big for a card.
    """
    path = folder / CARD_FILE
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CARD_BYTES + 1)
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read ({error.strerror}); a bundle is a folder with "
            f"{CARD_FILE} and {WEIGHTS_FILE}"
        ) from error
    if len(data) > MAX_CARD_BYTES:
        raise BundleError(f"{path} is larger than {MAX_CARD_BYTES >> 20} MiB, so it is no card")
    return data


def parse_card(data: bytes, where: str) -> BundleCard:
    """Card from JSON; `where` names the file in messages.

    Raises:
        BundleError: naming file and field.
    """
    try:
        card = msgspec.json.decode(data, type=BundleCard)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(
            f"{where} does not follow the card's schema: {error}; "
            "it was written by another version of egomon or damaged"
        ) from error
    try:
        check_card(card)
    except BundleError as error:
        raise BundleError(f"{where}: {error}") from None
    return msgspec.structs.replace(card, frame_encoder=card.frame_encoder.recorded())


def list_bundles(root: Path = BUNDLED_ROOT) -> list[BundleEntry]:
    """The bundles that come with egomon, sorted by name; reads only their cards.

    Raises:
        BundleError: if one of them is damaged.
    """
    if not root.is_dir():
        return []
    folders = sorted(f for f in root.iterdir() if (f / CARD_FILE).is_file())
    return [BundleEntry(f.name, f, read_card(f), _nbytes(f)) for f in folders]


def find_bundle(ref: str | Path) -> Path:
    """Folder of a bundle: a bundled name, a folder, or a hub id `owner/name` (downloaded).

    Raises:
        BundleError: if there is no such bundle; the message lists what there is.
    """
    folder = Path(ref)
    if isinstance(ref, Path) or os.path.isdir(ref):
        return _existing(folder)
    if NAME_PATTERN.fullmatch(ref):
        bundled = BUNDLED_ROOT / ref
        if (bundled / CARD_FILE).is_file():
            return bundled
        known = ", ".join(entry.name for entry in list_bundles()) or "none"
        raise BundleError(
            f"no bundle is called {ref!r} and no such folder exists; bundled ones: {known}; "
            "give a name, a folder with bundle.json, or a hub id owner/name"
        )
    if _HUB_ID.fullmatch(ref):
        from egomon.branches.bundle.hub import download_folder

        return _existing(
            download_folder(
                ref,
                [CARD_FILE, WEIGHTS_FILE, EXTRA_FILES, f"{LARGE_FOLDER}/*", f"{ONNX_FOLDER}/*"],
            )
        )
    raise BundleError(
        f"{str(ref)!r} is neither a bundle's name, nor a folder, nor a hub id owner/name"
    )


def _existing(folder: Path) -> Path:
    if not (folder / CARD_FILE).is_file():
        raise BundleError(
            f"{folder} is not a bundle: it has no {CARD_FILE}; "
            "give the folder that `egomon train` wrote, or a name from `egomon models`"
        )
    return folder


def _nbytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
